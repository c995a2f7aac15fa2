"""Conv4's parts for CPUs, over stacks of tasks: a few functions with closed-form first and second derivatives.

Images are [T, B, H, W, C] (tasks, images, positions, channels), contiguous: what oneDNN calls channels last, in which
its convolutions are quickest and sums over positions are vectorized. Weights are [T, ...], or views of one network's
where all tasks share them.
"""
