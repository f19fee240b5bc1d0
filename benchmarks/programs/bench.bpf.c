// Programs that benchmarks/run.py times in skep and in the running kernel.
//
// Compile: clang -O2 -g -target bpf -mcpu=v3 -c bench.bpf.c -o bench.bpf.o
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define COUNTER(map_name, map_type)                    \
	struct {                                       \
		__uint(type, map_type);                \
		__uint(max_entries, 1024);             \
		__type(key, __u32);                    \
		__type(value, __u64);                  \
	} map_name SEC(".maps")

COUNTER(array_counts, BPF_MAP_TYPE_ARRAY);
COUNTER(hash_counts, BPF_MAP_TYPE_HASH);
COUNTER(percpu_counts, BPF_MAP_TYPE_PERCPU_ARRAY);
COUNTER(lru_counts, BPF_MAP_TYPE_LRU_HASH);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} jumps SEC(".maps");

SEC("xdp")
int nop(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp")
int parse_tcp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
	struct tcphdr *tcp = (void *)(ip + 1);

	if ((void *)(tcp + 1) > end)
		return XDP_DROP;
	if (eth->h_proto != bpf_htons(ETH_P_IP) || ip->protocol != 6)
		return XDP_PASS;
	return tcp->dest == bpf_htons(443) ? XDP_TX : XDP_PASS;
}

SEC("xdp")
int checksum_1k(struct xdp_md *ctx)
{
	__u16 *word = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 sum = 0;

	for (int i = 0; i < 512; i++) {
		if ((void *)(word + 1) > (void *)end)
			break;
		sum += *word++;
	}
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

SEC("xdp")
int fnv_1k(struct xdp_md *ctx)
{
	__u8 *byte = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 hash = 2166136261u;

	for (int i = 0; i < 1024; i++) {
		if ((void *)(byte + 1) > (void *)end)
			break;
		hash = (hash ^ *byte++) * 16777619u;
	}
	return hash & 0xffff;
}

static __always_inline int count(void *map, __u32 key)
{
	__u64 *value = bpf_map_lookup_elem(map, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
	return XDP_PASS;
}

SEC("xdp")
int count_array(struct xdp_md *ctx)
{
	return count(&array_counts, ctx->rx_queue_index & 7);
}

SEC("xdp")
int count_hash(struct xdp_md *ctx)
{
	return count(&hash_counts, ctx->rx_queue_index & 7);
}

SEC("xdp")
int count_percpu(struct xdp_md *ctx)
{
	__u32 key = 3;
	__u64 *value = bpf_map_lookup_elem(&percpu_counts, &key);

	if (value)
		*value += 1;
	return XDP_PASS;
}

SEC("xdp")
int update_lru(struct xdp_md *ctx)
{
	__u32 key = bpf_get_prandom_u32() & 2047;
	__u64 value = key;

	bpf_map_update_elem(&lru_counts, &key, &value, BPF_ANY);
	return XDP_PASS;
}

SEC("xdp")
int ring_output(struct xdp_md *ctx)
{
	__u64 *record = bpf_ringbuf_reserve(&ring, 64, 0);

	if (!record)
		return XDP_ABORTED;
	record[0] = 1;
	bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
	return XDP_PASS;
}

SEC("xdp")
int tail_target(struct xdp_md *ctx)
{
	return XDP_TX;
}

SEC("xdp")
int tail_call(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &jumps, 1);
	return XDP_DROP;
}

static long add(__u32 index, void *context)
{
	*(__u64 *)context += index;
	return 0;
}

SEC("xdp")
int loop_1000(struct xdp_md *ctx)
{
	__u64 sum = 0;

	bpf_loop(1000, add, &sum, 0);
	return sum & 0xff;
}

static __noinline int mix(__u32 x)
{
	x ^= x >> 16;
	x *= 0x7feb352d;
	x ^= x >> 15;
	return x;
}

SEC("xdp")
int call_subprogram(struct xdp_md *ctx)
{
	__u32 x = ctx->rx_queue_index;

	for (int i = 0; i < 8; i++)
		x = mix(x);
	return x & 0xff;
}

char LICENSE[] SEC("license") = "GPL";
