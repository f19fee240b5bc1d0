// SPDX-License-Identifier: Apache-2.0
/* A program that the verifier accepts and that runs for ever, as far as anybody will wait. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

static long inner(__u32 index, void *ctx)
{
	return 0;
}

static long outer(__u32 index, void *ctx)
{
	bpf_loop(1 << 23, inner, 0, 0);
	return 0;
}

SEC("tc") int runaway(struct __sk_buff *skb)
{
	__u64 *record = bpf_ringbuf_reserve(&ring, 8, 0);

	if (!record)
		return 77;
	if (skb->len < 1000)
		bpf_loop(1 << 23, outer, 0, 0);
	*record = skb->len;
	bpf_ringbuf_submit(record, 0);
	return 1;
}

char _license[] SEC("license") = "Apache-2.0";
