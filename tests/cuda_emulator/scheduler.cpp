// Scheduler of the emulator: CUDA threads are fibers of one thread of the host, and blocks run one after another.
//
// A fiber runs until a barrier or a warp collective, then the next fiber runs. The order is that of the launch: 0
// ascending, 1 descending, n > 1 shuffled by the seed n. A kernel that lacks a barrier gives different results in
// different orders. The scheduler reports barrier divergence, deadlock (a collective that waits for a lane which never
// arrives), and writes past the end of a shared array. Shared memory is all ones at the start of a block: NaN, or -1.
#include "scheduler.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace fm_emu {

extern "C" {
Thread* fm_thread = nullptr;
Grid fm_grid;
uint64_t fm_slots[MOST_THREADS];
}

namespace {

enum State { READY, AT_BLOCK_BARRIER, AT_WARP_BARRIER, DONE };
constexpr size_t PAGE = 4096, STACK = 65 * PAGE;  // an odd number of pages: tops of stacks share no sets of the TLB
constexpr size_t GUARD = 64, MOST_STATIC_SHARED = 48 * 1024;

struct Shared {
  const void* key;
  const char* name;
  char* memory;
  size_t size;
};

Thread threads[MOST_THREADS];
char* stacks = nullptr;
int n_threads = 0;
std::vector<Shared> shared_arrays;
char* dynamic_memory = nullptr;
size_t dynamic_size = 0, most_shared = MOST_STATIC_SHARED;  // dynamic bytes of the launch; limit of static plus dynamic
void* scheduler_stack;
void (*body)(void*);
void* argument;
std::string error;

// ---- fibers

extern "C" void fm_switch(void** save, void* load);
#if defined(__x86_64__)
asm(R"(
.text
.globl fm_switch
.type fm_switch, @function
fm_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size fm_switch, .-fm_switch
)");
#elif defined(__aarch64__)
asm(R"(
.text
.globl fm_switch
.type fm_switch, %function
fm_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size fm_switch, .-fm_switch
)");
#else
#error "the emulator switches fibers on x86-64 and AArch64"
#endif

void to_scheduler() { fm_switch(&fm_thread->stack_pointer, scheduler_stack); }

void fiber() {
  body(argument);
  fm_thread->state = DONE;
  to_scheduler();
}

void start(Thread& t) {
  if (!stacks) {
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    stacks = static_cast<char*>(mmap(nullptr, MOST_THREADS * STACK, PROT_READ | PROT_WRITE, flags, -1, 0));
    // A stack that overflows hits a protected page instead of its neighbour.
    for (int i = 0; i < MOST_THREADS; ++i) mprotect(stacks + i * STACK, PAGE, PROT_NONE);
  }
  char* stack = stacks + t.number * STACK;
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(stack + PAGE, STACK - PAGE);
#endif
  // The tops of stacks differ by a few cache lines, so that they do not map to the same cache sets.
  void** top = reinterpret_cast<void**>(stack + STACK - (t.number * 320) % 8192);
#if defined(__x86_64__)
  top[-2] = reinterpret_cast<void*>(fiber);  // return address of the first switch, which pops six registers first
  t.stack_pointer = top - 8;
#else
  top[-9] = reinterpret_cast<void*>(fiber);  // x30, in the frame of twenty registers
  t.stack_pointer = top - 20;
#endif
  t.state = READY;
}

// ---- barriers

bool same(const char* a, const char* b) { return a == b || !strcmp(a, b); }

// Makes the lanes of a warp ready whose collective is complete.
bool release_warp(int first) {
  const int n = std::min(WARP, n_threads - first);
  const unsigned exist = n == WARP ? 0xffffffffu : (1u << n) - 1;
  unsigned seen = 0;
  for (int l = 0; l < n; ++l) {
    const Thread& a = threads[first + l];
    if (a.state != AT_WARP_BARRIER || (seen >> l & 1)) continue;
    unsigned came = 0;
    for (int k = l; k < n; ++k) {
      const Thread& b = threads[first + k];
      if (b.state == AT_WARP_BARRIER && b.mask == a.mask && same(a.site, b.site)) came |= 1u << k;
    }
    seen |= came;
    const unsigned needed = a.mask & exist;
    if (!(needed >> l & 1)) {
      error = std::string("a lane is not in the mask of its own collective at ") + a.site;
      return false;
    }
    if ((came & needed) != needed) continue;
    for (int k = 0; k < n; ++k)
      if (needed >> k & 1) threads[first + k].state = READY;
    return true;
  }
  return false;
}

bool release_block() {
  const char* site = nullptr;
  for (int i = 0; i < n_threads; ++i) {
    const Thread& t = threads[i];
    if (t.state == DONE) continue;
    if (t.state != AT_BLOCK_BARRIER) return false;
    if (!site) site = t.site;
    if (!same(site, t.site)) {
      error = std::string("barrier divergence: some threads wait at ") + site + ", others at " + t.site;
      return false;
    }
  }
  if (!site) return false;
  for (int i = 0; i < n_threads; ++i)
    if (threads[i].state == AT_BLOCK_BARRIER) threads[i].state = READY;
  return true;
}

// ---- one block

bool run_warp(int first, const std::vector<int>& lanes) {
  bool ran = false;
  for (int lane : lanes) {
    const int i = first + lane;
    if (i >= n_threads || threads[i].state != READY) continue;
    fm_thread = &threads[i];
    fm_switch(&scheduler_stack, fm_thread->stack_pointer);
    ran = true;
    if (!error.empty()) return false;
  }
  return ran;
}

bool advance(int first, const std::vector<int>& lanes) {
  const bool ran = run_warp(first, lanes);
  return error.empty() && (release_warp(first) || ran);
}

void run_block(int order, std::mt19937& random) {
  std::vector<int> warps, lanes(WARP);
  for (int first = 0; first < n_threads; first += WARP) warps.push_back(first);
  std::iota(lanes.begin(), lanes.end(), 0);
  if (order == 1) {
    std::reverse(warps.begin(), warps.end());
    std::reverse(lanes.begin(), lanes.end());
  }
  while (error.empty()) {
    bool progress = false;
    if (order > 1) {
      std::shuffle(warps.begin(), warps.end(), random);
      std::shuffle(lanes.begin(), lanes.end(), random);
    }
    for (int first : warps) {
      // Ascending or descending, a warp runs as far as it can before the next one starts. Shuffled, a warp runs up to
      // three steps.
      int steps = order > 1 ? random() % 4 : 1 << 30;
      while (steps-- > 0 && advance(first, lanes)) progress = true;
    }
    if (!progress && order > 1)
      for (int first : warps) progress = advance(first, lanes) || progress;
    if (!error.empty() || progress || release_block()) continue;
    for (int i = 0; i < n_threads && error.empty(); ++i)
      if (threads[i].state != DONE)
        error = "deadlock: thread " + std::to_string(i) + " waits for ever at " + threads[i].site;
    return;
  }
}

bool is_whole(const char* guard) {
  for (size_t i = 0; i < GUARD; ++i)
    if (guard[i] != char(0xff)) return false;
  return true;
}

char* allocate(size_t size) {
#if defined(__SANITIZE_ADDRESS__)
  const size_t guard = 0;  // AddressSanitizer has its own guards
#else
  const size_t guard = GUARD;
#endif
  void* memory = nullptr;
  if (posix_memalign(&memory, 128, std::max(size + guard, size_t(1)))) abort();
  memset(memory, 0xff, size + guard);
  return static_cast<char*>(memory);
}

void check_guards(size_t dynamic_bytes) {
#if !defined(__SANITIZE_ADDRESS__)
  for (const Shared& s : shared_arrays)
    if (!is_whole(s.memory + s.size)) error = std::string("a write past the end of the shared array ") + s.name;
  if (!is_whole(dynamic_memory + dynamic_bytes)) error = "a write past the end of dynamic shared memory";
#endif
}

}  // namespace

extern "C" {

void fm_block_barrier(const char* site) {
  fm_thread->state = AT_BLOCK_BARRIER;
  fm_thread->site = site;
  to_scheduler();
}

void fm_warp_barrier(unsigned mask, const char* site) {
  fm_thread->state = AT_WARP_BARRIER;
  fm_thread->mask = mask;
  fm_thread->site = site;
  to_scheduler();
}

void fm_fail(const char* site, const char* message) {
  error = std::string(message) + " at " + site;
  to_scheduler();
}

void* fm_shared(const void* key, size_t size, const char* name) {
  size_t total = size;
  for (const Shared& s : shared_arrays) {
    if (s.key == key) return s.memory;
    total += s.size;
  }
  if (total > MOST_STATIC_SHARED) fm_fail(name, "more than 48 KiB of static shared memory");
  else if (total + dynamic_size > most_shared) fm_fail(name, "more shared memory, static and dynamic, than the kernel may have");
  shared_arrays.push_back({key, name, allocate(size), size});
  return shared_arrays.back().memory;
}

void fm_allow_shared(size_t bytes) { most_shared = bytes; }

const char* fm_launch(void (*body_)(void*), void* argument_, const unsigned* d, size_t dynamic_bytes, int order) {
  body = body_, argument = argument_;
  error.clear();
  fm_grid.size = dim3(d[0], d[1], d[2]), fm_grid.block_size = dim3(d[3], d[4], d[5]);
  n_threads = int(d[3] * d[4] * d[5]);
  const size_t n_blocks = size_t(d[0]) * d[1] * d[2];
  std::mt19937 random(order);
  dynamic_memory = allocate(dynamic_bytes), dynamic_size = dynamic_bytes;
  fm_grid.dynamic = dynamic_memory;
  for (size_t q = 0; q < n_blocks && error.empty(); ++q) {
    const size_t number = order == 1 ? n_blocks - 1 - q : q;
    fm_grid.block_index = dim3(number % d[0], number / d[0] % d[1], unsigned(number / (size_t(d[0]) * d[1])));
    if (q > 0) {
      memset(dynamic_memory, 0xff, dynamic_bytes);
      for (Shared& s : shared_arrays) memset(s.memory, 0xff, s.size);
    }
    for (int i = 0; i < n_threads; ++i) {
      threads[i].number = i;
      threads[i].index = dim3(i % d[3], i / d[3] % d[4], i / (d[3] * d[4]));
      start(threads[i]);
    }
    run_block(order, random);
    if (error.empty()) check_guards(dynamic_bytes);
    if (!error.empty()) {
      const dim3 b = fm_grid.block_index;
      error += " (block " + std::to_string(b.x) + ", " + std::to_string(b.y) + ", " + std::to_string(b.z) + ")";
    }
  }
  for (Shared& s : shared_arrays) free(s.memory);
  shared_arrays.clear();
  free(dynamic_memory);
  return error.empty() ? nullptr : error.c_str();
}
}

}  // namespace fm_emu
