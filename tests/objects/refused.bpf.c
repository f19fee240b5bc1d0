// Programs that the verifier refuses, each for a common reason, beside one that it accepts.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} slots SEC(".maps");

SEC("xdp")
int accepted(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp")
int no_null_check(struct xdp_md *ctx)
{
	__u32 key = 1;
	__u64 *slot = bpf_map_lookup_elem(&slots, &key);

	*slot = 1;
	return XDP_PASS;
}

SEC("xdp")
int no_bounds_check(struct xdp_md *ctx)
{
	return *(__u8 *)(long)ctx->data;
}

char LICENSE[] SEC("license") = "GPL";
