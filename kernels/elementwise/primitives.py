"""Two operations for kernels: which product is fused with which sum, and a choice without a branch."""

from ..compiler.decorators import Function
from ..compiler.emit import emitted_by
from . import operations

mul_add: Function = emitted_by(operations.emit_mul_add)(operations.mul_add)
where: Function = emitted_by(operations.emit_where)(operations.where)
