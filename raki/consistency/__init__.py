"""Methods that look from all neighbours to all, in the image: self-consistency, and sparsity beside it. Any mask."""
