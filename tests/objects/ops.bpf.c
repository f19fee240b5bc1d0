// SPDX-License-Identifier: Apache-2.0
// A table of functions for the kernel; a program that no table refers to.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct sock;

struct tcp_congestion_ops___short {
	char name[16];
	__u32 (*ssthresh)(struct sock *sk);
	__u32 (*undo_cwnd)(struct sock *sk);
};

SEC("struct_ops")
__u32 half(struct sock *sk)
{
	return 5;
}

SEC("struct_ops/undo_cwnd")
__u32 undo(struct sock *sk)
{
	return 7;
}

SEC("struct_ops/lonely")
__u32 lonely(struct sock *sk)
{
	return 9;
}

SEC(".struct_ops.link")
struct tcp_congestion_ops___short table = {
	.name = "skep_test",
	.ssthresh = half,
	.undo_cwnd = undo,
};

char _license[] SEC("license") = "GPL";
