// Interface between kernels, which include emulator.h, and the scheduler (scheduler.cpp), which is compiled once.
#pragma once
#include <cstddef>
#include <cstdint>

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

namespace fm_emu {

constexpr int WARP = 32, MOST_THREADS = 1024;

struct Thread {
  void* stack_pointer;
  dim3 index;
  int number;        // within the block
  int state;         // ready, at a barrier, ...
  unsigned mask;     // lanes that the barrier of the warp waits for
  const char* site;  // source line of the barrier
};
struct Grid {
  dim3 block_index, block_size, size;
  void* dynamic;
};

extern "C" {
extern Thread* fm_thread;                  // the running thread
extern Grid fm_grid;
extern uint64_t fm_slots[MOST_THREADS];    // one exchange slot per thread
void fm_block_barrier(const char* site);
void fm_warp_barrier(unsigned mask, const char* site);
void* fm_shared(const void* key, size_t size, const char* name);
void fm_fail(const char* site, const char* message);  // ends the launch
// Runs body(argument) in every thread of every block. Returns an error message, or null.
const char* fm_launch(void (*body)(void*), void* argument, const unsigned* dims, size_t dynamic_bytes, int order);
}

}  // namespace fm_emu
