// Weights and inputs of layers, rounded to the bfloat16 operands of products.

#ifdef ROUNDS_OPERANDS
// W: (nets, N_OPERAND_WEIGHTS), the weights as products read them, of parameters that no update has written, or that
// have another slot since.
extern "C" __global__ void round_weights(const T* params, Operand* W) {
  const long long net = net_of(blockIdx.y);
  for (int q = blockIdx.x * blockDim.x + threadIdx.x; q < N_PARAMS; q += gridDim.x * blockDim.x)
    copy_weight(q, part_of(q), params + net * PARAMS_STRIDE, W + net * N_OPERAND_WEIGHTS);
}

// x = X, both of `size` numbers: inputs, which products read where they are if their operands are T.
extern "C" __global__ void round_inputs(const T* X, long long size, Operand* x) {
  for (long long e = (long long)blockIdx.x * blockDim.x + threadIdx.x; e < size; e += (long long)gridDim.x * blockDim.x)
    x[e] = X[e];
}
#endif
