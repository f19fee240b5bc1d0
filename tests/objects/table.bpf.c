// SPDX-License-Identifier: Apache-2.0
// Tables of functions for the kernel, complete enough to be put into use.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct sock;

struct tcp_congestion_ops {
	__u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
	__u32 (*undo_cwnd)(struct sock *sk);
	char name[16];
};

__u64 avoided;

SEC("struct_ops")
__u32 half(__u64 *ctx)
{
	return ctx[0] ? 0xffffffff : 5;
}

SEC("struct_ops")
void avoid(__u64 *ctx)
{
	avoided += (__u32)ctx[1] * 100 + (__u32)ctx[2];
}

SEC("struct_ops")
__u32 undo(__u64 *ctx)
{
	return 7;
}

SEC(".struct_ops.link")
struct tcp_congestion_ops linked = {
	.ssthresh = (void *)half,
	.cong_avoid = (void *)avoid,
	.undo_cwnd = (void *)undo,
	.name = "skep_linked",
};

SEC(".struct_ops")
struct tcp_congestion_ops plain = {
	.ssthresh = (void *)half,
	.cong_avoid = (void *)avoid,
	.undo_cwnd = (void *)undo,
	.name = "skep_plain",
};

char _license[] SEC("license") = "GPL";
