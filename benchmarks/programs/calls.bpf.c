// Calls, maps, atomics, global data.
//
// Compile: make -C benchmarks/programs
#include "bench.h"

#define MAP(name, map_type, entries, key_type, value_type, flags) \
	struct {                                                     \
		__uint(type, map_type);                              \
		__uint(max_entries, entries);                        \
		__uint(map_flags, map_flags_of_##flags);         \
		__type(key, key_type);                               \
		__type(value, value_type);                           \
	} name SEC(".maps")
#define map_flags_of_none 0
#define map_flags_of_dynamic BPF_F_NO_PREALLOC

struct address {
	__u32 bits;
	__u32 ip;
};

MAP(slots, BPF_MAP_TYPE_ARRAY, 256, __u32, __u64, none);
MAP(flows, BPF_MAP_TYPE_HASH, 1024, __u32, __u64, none);
MAP(recent, BPF_MAP_TYPE_LRU_HASH, 1024, __u32, __u64, none);
MAP(cpu_flows, BPF_MAP_TYPE_PERCPU_HASH, 64, __u32, __u64, none);
MAP(routes, BPF_MAP_TYPE_LPM_TRIE, 1024, struct address, __u64, dynamic);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} chain SEC(".maps");

__u8 block[65536];
__u8 copy[4096];
__u64 counter;
const volatile __u32 crc_table[256] = {
#define CRC(n) ((n) * 0x04c11db7u ^ (n) << 13)
#define FOUR(n) CRC(n), CRC(n + 1), CRC(n + 2), CRC(n + 3)
#define LINE(n) FOUR(n), FOUR(n + 4), FOUR(n + 8), FOUR(n + 12)
#define MANY(n) LINE(n), LINE(n + 16), LINE(n + 32), LINE(n + 48)
	MANY(0), MANY(64), MANY(128), MANY(192),
};

// --- calls ------------------------------------------------------------------------------------

__noinline __u64 round_of(__u64 x, __u64 y)
{
	return (x ^ y) * 0x9e3779b97f4a7c15ULL + 1;
}

SEC("xdp")
int global_function(struct xdp_md *ctx)
{
	__u64 x = ctx->rx_queue_index;

	for (int i = 0; i < 8; i++)
		x = round_of(x, i);
	return x & 0xffff;
}

#define DEEPER(n, m)                                                 \
	static __noinline __u64 deep_##n(__u64 x)                    \
	{                                                            \
		return deep_##m(x * n + 1) ^ x;                      \
	}

static __noinline __u64 deep_0(__u64 x)
{
	return x * 0x9e3779b97f4a7c15ULL;
}
DEEPER(1, 0)
DEEPER(2, 1)
DEEPER(3, 2)
DEEPER(4, 3)
DEEPER(5, 4)
DEEPER(6, 5)

SEC("xdp")
int call_depth_7(struct xdp_md *ctx)
{
	return deep_6(ctx->rx_queue_index + 3) & 0xffff;
}

static long mix_byte(__u32 index, void *context)
{
	__u64 *hash = context;

	*hash = (*hash ^ block[index & 1023]) * 0x100000001b3ULL;
	return 0;
}

SEC("xdp")
int loop_hash_1000(struct xdp_md *ctx)
{
	__u64 hash = 0xcbf29ce484222325ULL;

	bpf_loop(1000, mix_byte, &hash, 0);
	return hash & 0xffff;
}

static long add_value(void *map, __u32 *key, __u64 *value, void *context)
{
	*(__u64 *)context += *value + *key;
	return 0;
}

SEC("xdp")
int for_each_array_256(struct xdp_md *ctx)
{
	__u64 sum = 0;

	bpf_for_each_map_elem(&slots, add_value, &sum, 0);
	return sum & 0xffff;
}

SEC("xdp")
int for_each_hash_64(struct xdp_md *ctx)
{
	__u64 sum = 0;

	bpf_for_each_map_elem(&flows, add_value, &sum, 0);
	return sum & 0xffff;
}

SEC("xdp")
int chain_end(struct xdp_md *ctx)
{
	return XDP_TX;
}

// Calls itself through the program array until the kernel's limit of 33 is reached.
SEC("xdp")
int tail_chain_33(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &chain, 0);
	return XDP_PASS;
}

// --- look-ups -----------------------------------------------------------------------------------

SEC("xdp")
int lookup_array_16(struct xdp_md *ctx)
{
	__u64 sum = 0;

	ROLLED for (__u32 i = 0; i < 16; i++) {
		__u32 key = i * 13 + (sum & 3);
		__u64 *value = bpf_map_lookup_elem(&slots, &key);

		if (value)
			sum += *value;
	}
	return sum & 0xffff;
}

#define LOOKUP_16(name, map)                                         \
	SEC("xdp")                                                   \
	int name(struct xdp_md *ctx)                                 \
	{                                                            \
		__u64 sum = 0;                                       \
                                                                     \
		ROLLED for (__u32 i = 0; i < 16; i++) {              \
			__u32 key = i * 5;                           \
			__u64 *value = bpf_map_lookup_elem(&map, &key); \
                                                                     \
			if (value)                                   \
				sum += *value + 1;                   \
		}                                                    \
		return sum & 0xffff;                                 \
	}

LOOKUP_16(lookup_hash_16, flows)
LOOKUP_16(lookup_lru_16, recent)
LOOKUP_16(lookup_percpu_hash_16, cpu_flows)

SEC("xdp")
int lookup_lpm_16(struct xdp_md *ctx)
{
	__u64 sum = 0;

	ROLLED for (__u32 i = 0; i < 16; i++) {
		struct address key = {.bits = 32, .ip = bpf_htonl(0x0a000000 + i * 0x10103)};
		__u64 *value = bpf_map_lookup_elem(&routes, &key);

		if (value)
			sum += *value + 1;
	}
	return sum & 0xffff;
}

SEC("xdp")
int update_hash(struct xdp_md *ctx)
{
	__u32 key = 35;
	__u64 value = 1;

	return bpf_map_update_elem(&flows, &key, &value, BPF_ANY) ? XDP_ABORTED : XDP_PASS;
}

SEC("xdp")
int replace_hash(struct xdp_md *ctx)
{
	__u32 key = 100000;
	__u64 value = 1;

	if (bpf_map_update_elem(&flows, &key, &value, BPF_NOEXIST))
		return XDP_ABORTED;
	return bpf_map_delete_elem(&flows, &key) ? XDP_ABORTED : XDP_PASS;
}

// --- global data --------------------------------------------------------------------------------

SEC("xdp")
int checksum_64k(struct xdp_md *ctx)
{
	__u64 sum = 0;

	ROLLED for (int i = 0; i < sizeof(block) / 8; i += 8)
		for (int j = 0; j < 8; j++)
			sum += ((__u64 *)block)[i + j];
	return sum & 0xffff;
}

SEC("xdp")
int copy_4k(struct xdp_md *ctx)
{
	ROLLED for (int i = 0; i < 512; i++)
		((volatile __u64 *)copy)[i] = ((__u64 *)block)[i];
	return copy[9];
}

SEC("xdp")
int sieve_1k(struct xdp_md *ctx)
{
	__u32 count = 0;

	ROLLED for (int i = 0; i < 1024; i++)
		((volatile __u8 *)copy)[i] = 1;
	ROLLED for (int i = 0; i < 1024; i += 3)
		((volatile __u8 *)copy)[i] = 0;
	ROLLED for (int i = 0; i < 1024; i++)
		count += copy[i];
	return count & 0xffff;
}

SEC("xdp")
int crc32_table_1k(struct xdp_md *ctx)
{
	BYTES(ctx, p);
	__u32 crc = ~0u;

	ROLLED for (int i = 0; i < SIZE; i++)
		crc = crc_table[(crc ^ p[i]) & 255] ^ crc >> 8;
	return ~crc & 0xffff;
}

// --- atomics ------------------------------------------------------------------------------------

SEC("xdp")
int atomic_add_16(struct xdp_md *ctx)
{
	ROLLED for (int i = 0; i < 16; i++)
		__sync_fetch_and_add(&counter, i);
	return XDP_PASS;
}

SEC("xdp")
int atomic_exchange_16(struct xdp_md *ctx)
{
	__u64 old = 0;

	ROLLED for (int i = 0; i < 16; i++)
		old ^= __sync_lock_test_and_set(&counter, i);
	return __sync_val_compare_and_swap(&counter, 15, 3) == 15 ? XDP_PASS : XDP_ABORTED;
}
