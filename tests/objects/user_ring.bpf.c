// SPDX-License-Identifier: Apache-2.0
// Records from user space: what a program sees of them.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} requests SEC(".maps");

__u64 flags;      // of the call
__u64 stop_after; // the callback says 1 from this record on; 0: never
__s64 answer;     // of the call
__u64 nested;     // answer of a second call, made in the callback
__u64 seen;
__u64 sum;        // of the first four bytes of each
__u64 context;    // what the callback got

static long each(struct bpf_dynptr *record, void *given)
{
	__u32 number = 0;
	__u64 *count = given;

	bpf_dynptr_read(&number, sizeof(number), record, 0, 0);
	sum += number;
	seen++;
	*count += 1;
	context = *count;
	return stop_after && seen >= stop_after;
}

static long again(struct bpf_dynptr *record, void *given)
{
	nested = bpf_user_ringbuf_drain(&requests, each, given, 0);
	return 0;
}

SEC("tc")
int drain(struct __sk_buff *skb)
{
	__u64 count = 0;

	answer = bpf_user_ringbuf_drain(&requests, each, &count, flags);
	return 0;
}

SEC("tc")
int drain_within(struct __sk_buff *skb)
{
	__u64 count = 0;

	answer = bpf_user_ringbuf_drain(&requests, again, &count, flags);
	return 0;
}

char _license[] SEC("license") = "GPL";
