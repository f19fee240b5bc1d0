// Kernel functions: iterators and dynamic pointers.
//
// Compile: make -C benchmarks/programs
#include "bench.h"

struct bpf_iter_num {
	__u64 opaque[1];
} __attribute__((aligned(8)));

extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;
extern int bpf_dynptr_from_xdp(struct xdp_md *ctx, __u64 flags, struct bpf_dynptr *out) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *from, __u32 offset, void *buffer,
			      __u32 size) __ksym;

SEC("xdp")
int bpf_for_256(struct xdp_md *ctx)
{
	struct bpf_iter_num it;
	__u64 sum = 0;
	int *n;

	bpf_iter_num_new(&it, 0, 256);
	while ((n = bpf_iter_num_next(&it)))
		sum = sum * 31 + *n;
	bpf_iter_num_destroy(&it);
	return sum & 0xffff;
}

SEC("xdp")
int dynptr_slice(struct xdp_md *ctx)
{
	struct bpf_dynptr packet;
	struct ethhdr room, *eth;

	if (bpf_dynptr_from_xdp(ctx, 0, &packet))
		return XDP_ABORTED;
	eth = bpf_dynptr_slice(&packet, 0, &room, sizeof(room));
	return eth ? eth->h_proto : XDP_DROP;
}

SEC("xdp")
int dynptr_read_64(struct xdp_md *ctx)
{
	struct bpf_dynptr packet;
	__u64 bytes[8], sum = 0;

	if (bpf_dynptr_from_xdp(ctx, 0, &packet) ||
	    bpf_dynptr_read(bytes, sizeof(bytes), &packet, 26, 0))
		return XDP_ABORTED;
	for (int i = 0; i < 8; i++)
		sum += bytes[i];
	return sum & 0xffff;
}
