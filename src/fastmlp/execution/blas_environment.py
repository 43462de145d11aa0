"""Environment variables that make BLAS slow."""

# They make OpenBLAS choose kernels of another CPU. Some machines set them; products take four times as long there.
SLOWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
