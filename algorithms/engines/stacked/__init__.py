"""Methods on MLPs in closed form, over stacks of tasks: a quarter of the operations that autograd takes.

On networks of forty units nearly all the time goes into the dispatch of operations. Here the operations of a whole
outer gradient are written out, batched over tasks, in buffers and views that are made once and kept; and so are those
of Reptile's steps of Adam.
"""
