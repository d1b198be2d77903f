"""From Python to machine code: decorators, the cache on disk, the writer of LLVM, views of memory."""
