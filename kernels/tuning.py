"""Every measured constant of the kernels, in one table, grouped by the sub-package that uses it.

How to read an entry: the comment names the unit, says what a larger or smaller value trades, and ends with the row of
docs/explanation/experiments.md that holds the figures ("Experiments: <row-id>"). "Definition" marks a value that is not
tuned; "estimate" marks one for which no experiment is recorded.

How to change a constant: measure the alternatives on an idle machine, with one thread and with two; add or extend the
row of docs/explanation/experiments.md; change the value here; run `make regress BASE=main`. Constants that decide how a
sum is divided also change the last bits of results; their comments say so.

This module imports nothing, so that every other one can import it.
"""

# workers: how many threads, the team and its barriers, pace ----------------------------------------------------------

# Multiply-adds, or operations of like cost. A thread must have this many before another one pays: fewer let small
# kernels pay for waking and synchronizing threads, more leave cores idle. Experiments: operations-per-thread
OPERATIONS_PER_THREAD = 75_000

# Spins (look, then pause). A waiting thread offers its core to other threads after this many, and looks at the clock:
# fewer make every barrier slower on an idle machine, more waste the core where there are more threads than cores.
# Estimate.
SPINS_BEFORE_YIELD = 2000

# Milliseconds, and spins where there is no clock. A worker looks for work for this long before it parks: longer spares
# calls that come after a pause the time to wake it, shorter leaves the core to others. Experiments: idle-workers
IDLE_MS = 3
IDLE_SPINS = 200_000

# Multiply-adds. Before the first step a leader waits for workers that are awake: at most a millisecond for so many
# multiply-adds of the step, and for no more than the second number: longer waits lose time where a worker does not
# come, shorter ones a member in the first step. Experiments: idle-workers
PATIENCE_WORK_PER_MS = 400_000_000
MOST_PATIENCE_WORK = 50_000_000

# Percent. Half of the members, two or more of them, are left out if they have waited at barriers for this much of the
# time that calls had the workers: less gives up at hiccups, and where one thread more than work can be divided by waits
# for half of the time; more waits for busy neighbours too long. Experiments: busy-neighbours
LOST_PERCENT_OF_TWO = 40
LOST_PERCENT_OF_MORE = 60

# Milliseconds. The time that counts: longer takes more waits to notice a neighbour, shorter takes a hiccup for one.
# Experiments: busy-neighbours
LOST_WINDOW_MS = 4

# Milliseconds. How long members are left out, at first and at most: each trial of all may cost a wait of some
# milliseconds, and cores that have become free are noticed after this time. Experiments: busy-neighbours
SHORTEST_ALONE_MS = 10
LONGEST_ALONE_MS = 500

# Steps. A run is timed over this many steps, a trial of half the members over the second number: longer ones are
# measured more precisely, shorter ones find a better number of members earlier. Experiments: pace
PACE_RUN_STEPS = 256
PACE_TRIAL_STEPS = 4

# Steps at the beginning of a run or trial that are not timed, while the caches of its members fill. Estimate.
PACE_UNTIMED_STEPS = 1

# Runs. A settled number of members is used for at most this many before it is tested again: more save trials, fewer
# notice sooner that cores have become free. Estimate.
PACE_MOST_RUNS = 64

# elementwise: elementary functions, activations, normalization, losses, update rules ---------------------------------

# Multiply-adds. The cost of one exponential, to judge how many threads pay. Experiments: elementary-functions
TRANSCENDENTAL_COST = 10

# Multiply-adds. The cost of an element in batch normalization, to judge how many threads pay. Estimate.
NORMALIZATION_COST = 4

# Multiply-adds. The cost of a parameter in an update, to judge how many threads pay. Estimate.
UPDATE_COST = 4

# Elements. Activations called on whole arrays work on blocks of this size: larger blocks leave the first-level cache
# between two passes, smaller ones add overhead per block. Estimate.
ELEMENTS_PER_BLOCK = 4096

# Elements. The NumPy stand-ins that check arguments work on blocks of this size, so that the temporary array stays in
# the cache. Estimate.
ELEMENTS_PER_CHECK = 1 << 16

# products: the register tile, panels and packing, drivers, one row ---------------------------------------------------

# Lanes of a vector, vectors of a row, heights of tiles: panels for float32, widest first, by instruction set; for
# float64 the lanes are halved. A tile keeps rows x vectors sums in registers, beside the vectors of a row of b and one
# broadcast element of a. A wider panel loads less for each multiply-add; a narrower one wastes fewer lanes on a
# product's last columns. More heights waste less time on its last rows; but each is a function to compile. Where
# measured, tiles of one vector have 8 or 10 rows: the addresses of more do not fit into the general registers.
# Experiments: panel-shapes, panel-of-48, panel-of-24, tile-3x7, tile-heights, tile-8x8
#
#              registers     panels: lanes, vectors, rows     why
# avx512       32 of 16      16 x 3 x 9:  27 sums + 3 + 1     2.25 multiply-adds a load, no spill
#                            16 x 2 x 14: 28 sums + 2 + 1     1.75
#                            16 x 1 x 14                      14 independent sums hide a latency of 4 at 2 a cycle
# avx512_256   32 of 16      16 x 2 x 14                      512 bits are executed as two halves: a vector of 8 costs
#                             8 x 2 x 14: 28 sums + 2 + 1     half of one of 16, so the last columns are cut finer
#                             8 x 1 x 8
# avx2         16 of 8        8 x 2 x 6:  12 sums + 2 + 1     the classic 6 x 16
#                             8 x 1 x 10: 10 sums + 1 + 1
# neon         32 of 4        4 x 4 x 6:  24 sums + 4 + 1
#                             4 x 2 x 12: 24 sums + 2 + 1
#                             4 x 1 x 14
# sse2         16 of 4        4 x 2 x 6:  12 sums + 2 + 1     no fused multiply-add, no masked loads: correct, not fast
#                             4 x 1 x 12
PANELS: dict[str, tuple[tuple[int, int, tuple[int, ...]], ...]] = {
    "avx512": ((16, 3, (9, 4, 3, 2, 1)), (16, 2, (14, 8, 5, 4, 3, 2, 1)), (16, 1, (14, 8, 6, 4, 3, 2, 1))),
    "avx512_256": ((16, 2, (14, 8, 5, 4, 3, 2, 1)), (8, 2, (14, 5, 4, 3, 2, 1)), (8, 1, (8, 6, 4, 3, 2, 1))),
    "avx2": ((8, 2, (6, 5, 4, 3, 2, 1)), (8, 1, (10, 8, 6, 4, 3, 2, 1))),
    "neon": ((4, 4, (6, 4, 3, 2, 1)), (4, 2, (12, 5, 4, 3, 2, 1)), (4, 1, (14, 8, 6, 4, 3, 2, 1))),
    "sse2": ((4, 2, (6, 4, 3, 2, 1)), (4, 1, (12, 6, 4, 3, 2, 1))),
}

# Lanes of a vector, vectors of a row. The panel of W when it is updated and multiplied by one sample, for float32. The
# sums of its columns stay in registers; at least 4 of them hide the latency of the addition. Half-wide units use
# vectors of 256 bits, which cross fewer cache lines. Experiments: stream-panel-width
STREAM_PANELS: dict[str, tuple[int, int]] = {
    "avx512": (16, 4),
    "avx512_256": (8, 8),
    "avx2": (8, 4),
    "neon": (4, 8),
    "sse2": (4, 8),  # more than its registers hold, but a panel has at least 16 columns, in float64 too
}

# Multiply-adds of a vector. A tile of fewer sums takes as long as one of this many, since each step waits for the one
# before it: decides into which heights rows are cut. Experiments: tile-heights
LATENCY_SUMS = 5

# Columns, for float32, by instruction set. What is left of a product's columns, if it is wider than the first number
# and not wider than the second, begins with a panel of the second kind, unless it fills the widest. So the widest panel
# is always filled here and needs no masks. Experiments: panel-of-48, panel-of-24, widest-masked
SPLIT_WIDTHS = {"avx512": (32, 64), "avx512_256": (16, 31)}

# Sums of vectors, by instruction set. The last few columns of a product keep this many dot products in registers: more
# hide the latency of a multiply-add, too many do not fit beside the operands. Experiments: narrow-sums
NARROW_SUMS = {"avx512": 16, "avx512_256": 16, "avx2": 12, "neon": 16, "sse2": 12}

# Steps of the sum. A tile prefetches what it needs this many steps later: more of it is behind the end of the sum and
# fetched in vain, less arrives late. The list of column offsets must be readable this far behind its end.
# Experiments: prefetch-distance
PREFETCH_DISTANCE = 8

# Steps of the sum, and bytes. Tiles prefetch if the sum is longer and the operand larger than this: what is smaller is
# near already, and prefetch instructions cost time too. Experiments: prefetch-near
PREFETCH_LEAST_DEPTH = 64
PREFETCH_LEAST_BYTES = 32 << 10

# Rows of the product, and rows of W. A product of x with so few samples reads W in the order of memory, as many rows of
# W at once as the second number: more samples compute for longer than it takes to read W, which tiles do better; more
# rows of W load and store the sums less often, but are as many streams of memory to be fetched. Experiments: few-rows
FEW_ROWS = 4
ROWS_OF_FEW = 4

# Bytes of the right factor, and rows of the product. A panel is packed from these on: packing costs a copy, and spares
# rows that lie in as many pages and, at power-of-two distances, in few cache sets. Experiments: pack-large-panels
PACK_LEAST_BYTES = 2 << 20
PACK_LEAST_ROWS = 48

# Samples. The sum over a batch of more than DEEP_BATCH samples is made of sums over DEEP_BATCH_SUM each: shorter sums
# keep their samples in the cache for all panels, but update the result more often. Decides bits.
# Experiments: deep-batch, deep-batch-from-512
DEEP_BATCH = 1024
DEEP_BATCH_SUM = 512

# Rows of W. With one sample, W is prefetched this many rows ahead, if it has more rows than the second number: the end
# of a small W would be fetched in vain. Experiments: stream-prefetch
STREAM_PREFETCH_ROWS = 8
STREAM_PREFETCH_LEAST_ROWS = 64

# Rows of W. A product of W and one vector computes this many dot products at once: enough independent sums to hide the
# latency of the addition. Estimate.
ROWS_PER_DOT = 8

# Samples. Steps on one sample each that share one pass over the first W: more move W less often, but compare every
# sample with more others. Decides bits. Experiments: samples-per-group
SAMPLES_PER_GROUP = 16

# Bytes. Definition: the cache line of x86-64 and most ARM processors. Arrays begin with one, since a vector that
# crosses a line costs two loads. Experiments: cache-line-alignment
BYTES_PER_CACHE_LINE = 64

# network: layout, division of work, forward, backward, prediction ----------------------------------------------------

# Rows. A thread predicts this many rows at a time; the second number is for parameters of more than PACKED_MOST_BYTES,
# whose panels are packed for each block. More rows amortize packing, fewer keep outputs in the cache.
# Experiments: prediction-rows, packed-predictions
PREDICTION_ROWS = 128
PREDICTION_ROWS_LARGE = 256

# Rows of a thread, and bytes of the parameters. A prediction begins with a packed copy of every W if it has this many
# rows and parameters within these limits: the copy costs time and memory and pays by the block.
# Experiments: packed-predictions
PACKED_LEAST_ROWS = 384
PACKED_LEAST_BYTES = 32 << 10
PACKED_MOST_BYTES = 8 << 20

# Bytes of W, and bytes of W for each sample. Threads divide the columns of a layer, not the samples, from both on:
# divided by samples, every thread packs or transposes all of W; by columns, threads read each other's outputs.
# Experiments: split-by-columns
BY_COLUMNS_LEAST_BYTES = 256 << 10
BY_COLUMNS_BYTES_PER_SAMPLE = 3 << 10

# Bytes of W. The sum of a first layer between these sizes is made of two halves, so that threads divide its inputs:
# in smaller layers the barrier costs more than it saves, in larger ones the gain is small. Decides bits.
# HALVES_LEAST_BYTES is also the least size of a layer that counts as widening. Experiments: first-layer-halves
HALVES_LEAST_BYTES = 32 << 10
HALVES_MOST_BYTES = 2 << 20

# Outputs for each input. A layer of this ratio or more widens, and threads divide its outputs in all passes: outputs,
# deltas and W stay where they are, and the inputs travel. Experiments: widening-layers
WIDENING_FACTOR = 4

# Elements. Rows of the last layer shorter than this are not padded: losses then run over long stretches of memory, but
# rows no longer begin with a cache line. Experiments: case-unpadded-outputs
UNPADDED_OUTPUTS = 16

# Bytes. Definition: the page of x86-64; loads and stores whose addresses agree in the last 12 bits wait for each other.
# Buffers of a page or more begin with one. Experiments: page-alignment
PAGE_BYTES = 4096

# training: the job, its workspace, batches, the update, the forms of a step ------------------------------------------

# Rows of W. Of a weight gradient this many rows exist at a time, between the product and a rule with state: more leave
# the cache before the rule reads them, fewer make shorter products. Estimate.
UPDATE_ROWS = 56

# Outputs for each input. As WIDENING_FACTOR, for the update by a rule with state, which has three arrays whose rows two
# threads share: hardware prefetch crosses from one part of a row to the other. Experiments: widening-with-state
WIDENING_FACTOR_WITH_STATE = 16

# Blocks. A batch is tall if it has at least this many: fewer leave threads without work. Experiments: tall-groups
TALL_LEAST_BLOCKS = 4

# Groups, and bytes. The gradients of blocks are summed in at most this many groups, which together take at most this
# much memory: more groups occupy more threads, fewer are added up sooner and stay in the cache. Decides bits.
# Experiments: tall-groups
TALL_MOST_GROUPS = 32
TALL_GROUPS_BYTES = 4 << 20

# Samples of a block: fewer keep it in the cache of one core, more leave fewer gradients to add up. Decides bits, as all
# constants of blocks do. Experiments: tall-blocks
TALL_ROWS = 256

# Bytes of the parameters, and samples. A network of up to this size has blocks from this many samples on.
# Experiments: tall-blocks
TALL_SMALL_BYTES = 128 << 10
TALL_SMALL_ROWS = 64

# Bytes of the parameters, and samples. The blocks of a network of up to this size grow with the batch, up to this many
# samples. Experiments: tall-blocks-large-batch
TALL_TINY_BYTES = 64 << 10
TALL_MOST_ROWS = 1024

# Samples times bytes of the parameters. Below this a batch is not tall: one thread takes it all.
# Experiments: operations-per-thread
TALL_LEAST_WORK = 200_000

# Samples. A deep batch goes through the network this many samples at a time: fewer stay in the cache, more use each
# packed panel longer. Experiments: deep-batch-rows
DEEP_BATCH_ROWS = 256

# Bytes. Samples that several epochs read are converted once, as a whole, if they take no more than this then: a larger
# limit saves more data the conversion of each batch, up to half of a step, and holds memory. Estimate.
CONVERT_ONCE_BYTES = 32 << 20

# Bytes. A workspace up to this size is kept for the next call: a larger limit saves page faults and holds memory.
# Experiments: buffers-kept
KEEP_MOST_BYTES = 128 << 20

# Workspaces. A Python thread keeps at most this many for its next calls: more serve loops over many shapes, and hold
# more memory. Estimate.
KEEP_MOST_WORKSPACES = 64

# Rows times parameters. A prediction of more work is divided into calls: fewer let Ctrl-C end it sooner (this many take
# 0.1 to 0.2 s on two cores), more have fewer calls and packings of the weights. Estimate.
WORK_PER_PREDICTION = 4_000_000_000

# Elements. Definition: the norm of a gradient and the squares of weights are summed over pieces of this size, whichever
# thread sums a piece. Decides bits.
NORM_PIECE = 128

# tabular: networks for tables ----------------------------------------------------------------------------------------

# Rows of all members. The buffers of a step have room for the samples of so many rows: more leave the last-level cache
# before the gradient reads them again, fewer add up more gradients and meet more often. Decides bits.
# Experiments: tabular-rows
TABULAR_ROWS = 2048

# Rows of all members. A thread carries so many through the network at once: more leave the second-level cache between
# two layers, fewer pack and transpose every W more often. Experiments: tabular-block-rows
TABULAR_BLOCK_ROWS = 256

# Blocks of samples, whose sums for the gradients of scales are added up together, in a step: threads divide blocks, and
# more need more room for their sums. Decides bits. Estimate.
TABULAR_BLOCKS = 16
