// SPDX-License-Identifier: Apache-2.0
// Global variables in every kind of section, a hash map, subprograms shared by two programs.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

const volatile __u32 step = 3;
__u64 total = 40;
__u64 seen;
static __u64 hidden_state;
int first SEC(".data.custom") = 7;
const int limit SEC(".rodata.custom") = 1000;
int spare SEC(".bss.custom");

__attribute__((noinline)) static __u64 add(__u64 x, __u64 y)
{
	return x + y * step;
}

__attribute__((noinline)) int bump(__u32 key)
{
	__u64 one = 1, *value = bpf_map_lookup_elem(&counts, &key);

	if (!value)
		return bpf_map_update_elem(&counts, &key, &one, BPF_ANY);
	*value = add(*value, 1);
	return 0;
}

__hidden __attribute__((noinline)) int busy(__u64 now)
{
	hidden_state += now & 1;
	return hidden_state > limit;
}

SEC("xdp")
int count(struct xdp_md *ctx)
{
	seen++;
	total = add(total, seen);
	return bump(ctx->ingress_ifindex) ? XDP_ABORTED : XDP_PASS;
}

SEC("xdp")
int drop(struct xdp_md *ctx)
{
	spare += first;
	return busy(total) ? XDP_PASS : XDP_DROP;
}

SEC("?tc")
int later(struct __sk_buff *skb)
{
	return bump(skb->len);
}

char _license[] SEC("license") = "GPL";
