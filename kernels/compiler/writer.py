"""The writer of LLVM functions: vectors of numbers, masks, loops, prefetches.

Numba compiles loops well but cannot be told how to use registers. Code that must be told, such as the register tile, is
written instruction by instruction by a `Writer`.
"""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from .emit import emitted_by

INT: Any = ir.IntType(64)
INT32: Any = ir.IntType(32)
BIT: Any = ir.IntType(1)

# The modules of all functions that this process has written, as text, by the name of the function. The code that calls
# a function only declares it; pipeline.py links the function into that code when it has been optimized.
written: dict[str, str] = {}

# One step of a loop: from the values before it to those after it.
Step = Callable[[list[Any]], list[Any]]


def bits_of(real: Any) -> int:
    """Bits of a floating-point type."""
    return 32 if isinstance(real, ir.FloatType) else 64


class Writer:
    """Writes an LLVM function that works on vectors of `lanes` elements.

    A function of a name is written once in a process. It is not inlined and not optimized.
    """

    module: Any
    real: Any
    lanes: int

    def __init__(self, module: Any, real: Any, lanes: int, name: str, arguments: list[Any]) -> None:
        self.module, self.real, self.lanes = module, real, lanes
        self.bits: int = bits_of(real)
        self.vector: Any = ir.VectorType(real, lanes)
        self.zero: Any = ir.Constant(self.vector, [0.0] * lanes)
        self.masks: list[Any] = []  # of the vectors of a row, if some may be partly outside it
        self.name: str = f"fastfnn_{name}_f{self.bits}"
        kind = ir.FunctionType(ir.VoidType(), arguments)
        self.declared: Any = cgutils.get_or_insert_function(module, kind, self.name)
        self.exists: bool = self.name in written
        if self.exists:
            return
        self.module = ir.Module(self.name)
        self.function: Any = ir.Function(self.module, kind, self.name)
        self.function.linkage = "linkonce_odr"
        self.function.attributes.add("noinline")
        self.function.attributes.add("nounwind")
        self.builder: Any = ir.IRBuilder(self.function.append_basic_block("entry"))

    def write(self) -> Any:
        """The function, written if it does not exist yet."""
        if not self.exists:
            self.body()
            self.builder.ret_void()
            written[self.name] = str(self.module)
        return self.declared

    def body(self) -> None:
        """Write the instructions of the function, all but its return."""
        raise NotImplementedError

    def loop(self, count: Any, first: list[Any], step: Step) -> list[Any]:
        """Apply `step` `count` times, beginning with the values `first`; returns the last values."""
        builder, before = self.builder, self.builder.block
        repeat, after = (self.function.append_basic_block(name) for name in ("repeat", "after"))
        builder.cbranch(builder.icmp_signed(">", count, INT(0)), repeat, after)
        builder.position_at_end(repeat)
        number, *values = [builder.phi(value.type) for value in (count, *first)]
        following = [builder.add(number, INT(1)), *step(values)]
        end = builder.block
        for phi, begin, value in zip((number, *values), (INT(0), *first), following, strict=True):
            phi.add_incoming(begin, before)
            phi.add_incoming(value, end)
        builder.cbranch(builder.icmp_signed("<", following[0], count), repeat, after)
        builder.position_at_end(after)
        return [self.either((begin, before), (value, end)) for begin, value in zip(first, following[1:], strict=True)]

    def one_loop(self, which: Any, steps: Sequence[Step], count: Any, first: list[Any]) -> list[Any]:
        """Run `loop` with step number `which`, the first for any other number.

        Each step has a loop of its own: choosing inside the loop would cost time in every round.
        """
        builder, ends = self.builder, []
        blocks = [self.function.append_basic_block(f"loop_{number}") for number in range(len(steps))]
        after = self.function.append_basic_block("looped")
        switch = builder.switch(which, blocks[0])
        for number, (block, step) in enumerate(zip(blocks, steps, strict=True)):
            if number > 0:
                switch.add_case(INT(number), block)
            builder.position_at_end(block)
            ends.append((self.loop(count, first, step), builder.block))
            builder.branch(after)
        builder.position_at_end(after)
        return [self.either(*((values[n], block) for values, block in ends)) for n in range(len(first))]

    def either(self, *sources: tuple[Any, Any]) -> Any:
        """The value that belongs to the block from which control came (a phi node)."""
        phi = self.builder.phi(sources[0][0].type)
        for value, block in sources:
            phi.add_incoming(value, block)
        return phi

    def row(self, base: Any, stride: Any, i: int) -> Any:
        """The address of row i."""
        return base if i == 0 else self.builder.add(base, self.builder.mul(stride, INT(i)))

    def pointer(self, row: Any, j: int) -> Any:
        """The pointer to vector j of the row at an address."""
        offset = j * self.lanes * self.bits // 8
        address = self.builder.add(row, INT(offset)) if offset else row
        return self.builder.inttoptr(address, self.vector.as_pointer())

    def element(self, address: Any) -> Any:
        """The one number at an address."""
        return self.builder.load(self.builder.inttoptr(address, self.real.as_pointer()))

    def prefetch(self, address: Any) -> None:
        """Prefetch the cache line of an address, which may be invalid, into the first-level cache."""
        kind = ir.IntType(8).as_pointer()
        function = self.intrinsic("llvm.prefetch.p0", ir.VoidType(), [kind, INT32, INT32, INT32])
        to_read, first_level, data = INT32(0), INT32(3), INT32(1)
        self.builder.call(function, [self.builder.inttoptr(address, kind), to_read, first_level, data])

    def integer(self, address: Any) -> Any:
        """The integer at an address, as an atomic load, which the optimizer does not move."""
        return self.builder.load_atomic(self.builder.inttoptr(address, INT.as_pointer()), "monotonic", 8)

    def mask(self, width: Any, j: int) -> Any:
        """The lanes of vector j that lie inside `width` columns; the others are neither read nor written."""
        index = ir.VectorType(INT32, self.lanes)
        lanes = ir.Constant(index, [j * self.lanes + lane for lane in range(self.lanes)])
        limit = self.splat(self.builder.trunc(width, INT32), index)
        return self.builder.icmp_signed("<", lanes, limit)

    def splat(self, scalar: Any, vector: Any = None) -> Any:
        """A vector of this writer's type, or of another one, with all elements equal to the scalar."""
        vector = vector or self.vector
        undefined = ir.Constant(vector, ir.Undefined)
        one = self.builder.insert_element(undefined, scalar, INT32(0))
        zeros = ir.Constant(ir.VectorType(INT32, vector.count), [0] * vector.count)
        return self.builder.shuffle_vector(one, undefined, zeros)

    def intrinsic(self, name: str, result: Any, arguments: list[Any]) -> Any:
        """LLVM's intrinsic function of a name, for these types."""
        return cgutils.get_or_insert_function(self.module, ir.FunctionType(result, arguments), name)

    def suffix(self) -> str:
        """The vector's type in the names of intrinsics."""
        return f"v{self.lanes}f{self.bits}"

    def multiply_add(self, x: Any, y: Any, z: Any) -> Any:
        """x y + z: fused if the processor can, else a multiplication and an addition."""
        function = self.intrinsic(f"llvm.fmuladd.{self.suffix()}", self.vector, [self.vector] * 3)
        return self.builder.call(function, [x, y, z])

    def lanes_added(self, vector: Any) -> Any:
        """The sum of a vector's elements, added in pairs."""
        function = self.intrinsic(f"llvm.vector.reduce.fadd.{self.suffix()}", self.real, [self.real, self.vector])
        return self.builder.call(function, [ir.Constant(self.real, -0.0), vector], fastmath=("reassoc",))

    def load(self, row: Any, j: int) -> Any:
        """Vector j of the row at an address; lanes that `masks` leaves out are 0 and not read."""
        pointer, alignment = self.pointer(row, j), self.bits // 8
        if not self.masks:
            load = self.builder.load(pointer)
            load.align = alignment
            return load
        mask_type = ir.VectorType(BIT, self.lanes)
        arguments = [self.vector.as_pointer(), INT32, mask_type, self.vector]
        function = self.intrinsic(f"llvm.masked.load.{self.suffix()}.p0", self.vector, arguments)
        return self.builder.call(function, [pointer, INT32(alignment), self.masks[j], self.zero])

    def store(self, value: Any, row: Any, j: int) -> None:
        """Write vector j of the row at an address; lanes that `masks` leaves out are not touched."""
        pointer, alignment = self.pointer(row, j), self.bits // 8
        if not self.masks:
            self.builder.store(value, pointer).align = alignment
            return
        mask_type = ir.VectorType(BIT, self.lanes)
        arguments = [self.vector, self.vector.as_pointer(), INT32, mask_type]
        function = self.intrinsic(f"llvm.masked.store.{self.suffix()}.p0", ir.VoidType(), arguments)
        self.builder.call(function, [value, pointer, INT32(alignment), self.masks[j]])


def _emit_widest_vectors(builder: ir.IRBuilder) -> None:
    attributes = builder.function.attributes
    set.add(attributes, '"prefer-vector-width"="512"')  # llvmlite's own `add` does not know this attribute
    attributes.add("noinline")


@emitted_by(_emit_widest_vectors)
def widest_vectors() -> None:
    """Let the compiler use the widest vectors in the loops of this function, which is not inlined then.

    By default it takes half the width of AVX-512 on Intel's processors. Loops of many operations gain from the whole
    width, short ones lose. See Experiments: widest-vectors.
    """
