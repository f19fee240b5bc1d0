// Map operations in loops, for benchmarks/map_cost.py: many to a run, keys at random.
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define LOOPS 2000       // operations of one run
#define ABSENT (1 << 24) // in keys that no map has

__u64 mask;  // keys are below, or at, it
__u64 state; // of the random numbers
__u64 next;  // key that fill stores next
__u64 found; // look-ups that found something

struct small_prefix {
	__u32 bits;
	__u32 address;
};

#define MAP(map_name, map_type, key_type, flags)           \
	struct {                                           \
		__uint(type, BPF_MAP_TYPE_##map_type);     \
		__uint(max_entries, 1);                    \
		__uint(map_flags, flags);                  \
		__type(key, key_type);                     \
		__type(value, __u64);                      \
	} map_name SEC(".maps")

#define KEYLESS(map_name, map_type)                        \
	struct {                                           \
		__uint(type, BPF_MAP_TYPE_##map_type);     \
		__uint(max_entries, 1);                    \
		__type(value, __u64);                      \
	} map_name SEC(".maps")

static __always_inline __u64 draw(__u64 *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

// One program: BODY, LOOPS times, with a random number in r; state goes back to memory.
#define LOOP(program, body)                                                \
	static long program##_step(__u64 number, __u64 *x)                 \
	{                                                                  \
		__u64 r = draw(x) & mask;                                  \
		body;                                                      \
		return 0;                                                  \
	}                                                                  \
	SEC("xdp") int program(struct xdp_md *ctx)                         \
	{                                                                  \
		__u64 x = state + bpf_get_smp_processor_id();              \
		bpf_loop(LOOPS, program##_step, &x, 0);                    \
		state = x;                                                 \
		return XDP_PASS;                                           \
	}

#define PLAIN(r) ((__u32)(r))
#define PREFIX(r) ((struct small_prefix){32, bpf_htonl(r)})

#define LOOKUP(map, key_type, make)                                                  \
	LOOP(map##_hit, key_type key = make(r); __u64 *value = bpf_map_lookup_elem(&map, &key); \
	     if (value) *x += *value & 1)                                            \
	LOOP(map##_miss, key_type key = make(r | ABSENT);                            \
	     __u64 *value = bpf_map_lookup_elem(&map, &key); if (value) *x += *value & 1)

#define UPDATE(map, key_type, make)                                                  \
	LOOP(map##_update, key_type key = make(r);                                   \
	     bpf_map_update_elem(&map, &key, &r, BPF_ANY))                           \
	LOOP(map##_fill, key_type key = make(next); __u64 value = 0; next++;         \
	     bpf_map_update_elem(&map, &key, &value, BPF_ANY))

#define CHURN(map, key_type, make)                                                   \
	LOOP(map##_churn, key_type key = make(r); bpf_map_delete_elem(&map, &key);   \
	     bpf_map_update_elem(&map, &key, &r, BPF_ANY))

#define ALL(map, key_type, make)                                                     \
	LOOKUP(map, key_type, make)                                                  \
	UPDATE(map, key_type, make)                                                  \
	CHURN(map, key_type, make)

MAP(hash, HASH, __u32, 0);
MAP(hash_dynamic, HASH, __u32, BPF_F_NO_PREALLOC);
MAP(percpu_hash, PERCPU_HASH, __u32, 0);
MAP(lru_hash, LRU_HASH, __u32, 0);
MAP(lru_percpu_hash, LRU_PERCPU_HASH, __u32, 0);
MAP(array, ARRAY, __u32, 0);
MAP(percpu_array, PERCPU_ARRAY, __u32, 0);
MAP(lpm_trie, LPM_TRIE, struct small_prefix, BPF_F_NO_PREALLOC);
KEYLESS(queue, QUEUE);
KEYLESS(stack, STACK);
KEYLESS(bloom_filter, BLOOM_FILTER);

LOOP(empty, *x += r)
ALL(hash, __u32, PLAIN)
ALL(hash_dynamic, __u32, PLAIN)
ALL(percpu_hash, __u32, PLAIN)
ALL(lru_hash, __u32, PLAIN)
ALL(lru_percpu_hash, __u32, PLAIN)
LOOKUP(array, __u32, PLAIN)
UPDATE(array, __u32, PLAIN)
LOOKUP(percpu_array, __u32, PLAIN)
UPDATE(percpu_array, __u32, PLAIN)
ALL(lpm_trie, struct small_prefix, PREFIX)
LOOP(queue_churn, bpf_map_push_elem(&queue, &r, BPF_EXIST); bpf_map_pop_elem(&queue, &r))
LOOP(stack_churn, bpf_map_push_elem(&stack, &r, BPF_EXIST); bpf_map_pop_elem(&stack, &r))
LOOP(bloom_filter_hit, found += bpf_map_peek_elem(&bloom_filter, &r) == 0)
LOOP(bloom_filter_miss, __u64 absent = r | ABSENT;
     found += bpf_map_peek_elem(&bloom_filter, &absent) == 0)
LOOP(bloom_filter_update, bpf_map_push_elem(&bloom_filter, &r, BPF_ANY))
LOOP(bloom_filter_fill, __u64 value = next; next++;
     bpf_map_push_elem(&bloom_filter, &value, BPF_ANY))

char LICENSE[] SEC("license") = "GPL";
