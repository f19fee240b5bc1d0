// Programs that the verifier refuses for the common reasons; each is to get a hint that helps.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

struct value {
	__u64 sum;
	__u8 data[64];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct value);
} values SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

struct task_struct {
	int pid;
	long no_such_member;
} __attribute__((preserve_access_index));

SEC("xdp")
int missing_null_check(struct xdp_md *ctx)
{
	__u32 key = 1;
	struct value *value = bpf_map_lookup_elem(&values, &key);

	value->sum = 1;
	return XDP_PASS;
}

SEC("xdp")
int unchecked_packet(struct xdp_md *ctx)
{
	__u8 *data = (__u8 *)(long)ctx->data;

	return data[12];
}

SEC("xdp")
int short_packet_check(struct xdp_md *ctx)
{
	__u8 *data = (__u8 *)(long)ctx->data, *end = (__u8 *)(long)ctx->data_end;

	if (data + 14 > end)
		return XDP_PASS;
	return data[20];
}

// The check is of another copy of the pointer than the access: what clang makes of some sources.
SEC("xdp")
int check_moved(struct xdp_md *ctx)
{
	__u8 *data = (__u8 *)(long)ctx->data, *end = (__u8 *)(long)ctx->data_end;
	__u8 *again;

	if (data + 14 > end)
		return XDP_PASS;
	again = *(volatile __u32 *)&ctx->data + (__u8 *)0;
	return again[12];
}

SEC("xdp")
int bound_lost_in_32_bits(struct xdp_md *ctx)
{
	__u32 key = 1;
	struct value *value = bpf_map_lookup_elem(&values, &key);
	__u64 index;
	__u32 low;

	if (!value)
		return XDP_PASS;
	index = value->sum;
	low = index;
	barrier_var(low);
	if (low >= sizeof(value->data))
		return XDP_PASS;
	barrier_var(index);
	return value->data[index];
}

// The compared copy and the used one come from the same stack slot, which holds 64 bits.
SEC("xdp")
int bound_lost_after_spill(struct xdp_md *ctx)
{
	__u32 key = 1;
	struct value *value = bpf_map_lookup_elem(&values, &key);
	volatile __u64 kept;

	if (!value)
		return XDP_PASS;
	kept = value->sum;
	if (*(volatile __u32 *)&kept >= sizeof(value->data))
		return XDP_PASS;
	return value->data[kept];
}

SEC("xdp")
int loaded_twice(struct xdp_md *ctx)
{
	__u32 key = 1;
	struct value *value = bpf_map_lookup_elem(&values, &key);

	if (!value)
		return XDP_PASS;
	if (*(volatile __u64 *)&value->sum >= sizeof(value->data))
		return XDP_PASS;
	return value->data[*(volatile __u64 *)&value->sum];
}

SEC("tc")
int moved_packet(struct __sk_buff *skb)
{
	__u8 *data = (__u8 *)(long)skb->data, *end = (__u8 *)(long)skb->data_end;

	if (data + 14 > end)
		return 0;
	bpf_skb_pull_data(skb, 64);
	return data[12];
}

SEC("xdp")
int signed_index(struct xdp_md *ctx)
{
	__u32 key = 1;
	struct value *value = bpf_map_lookup_elem(&values, &key);
	__s64 index;

	if (!value)
		return XDP_PASS;
	index = value->sum;
	barrier_var(index);
	if (index >= (__s64)sizeof(value->data))
		return XDP_PASS;
	return value->data[index];
}

SEC("xdp")
int bound_missing(struct xdp_md *ctx)
{
	__u32 key = 1;
	struct value *value = bpf_map_lookup_elem(&values, &key);

	if (!value)
		return XDP_PASS;
	return value->data[value->sum];
}

SEC("xdp")
int endless_loop(struct xdp_md *ctx)
{
	volatile __u32 *field = &ctx->ingress_ifindex;

	while (*field != 7)
		;
	return XDP_PASS;
}

SEC("xdp")
int leaked_reference(struct xdp_md *ctx)
{
	__u64 *record = bpf_ringbuf_reserve(&events, 8, 0);

	if (!record)
		return XDP_PASS;
	*record = 1;
	if (ctx->ingress_ifindex == 3)
		return XDP_DROP;
	bpf_ringbuf_submit(record, 0);
	return XDP_PASS;
}

static __attribute__((noinline)) int deep(struct xdp_md *ctx)
{
	volatile __u8 big[300];

	big[ctx->ingress_ifindex & 255] = 1;
	return big[ctx->rx_queue_index & 255];
}

SEC("xdp")
int stack_too_deep(struct xdp_md *ctx)
{
	volatile __u8 big[300];

	big[ctx->rx_queue_index & 255] = deep(ctx);
	return big[ctx->ingress_ifindex & 255] & 1;
}

SEC("xdp")
int wrong_helper(struct xdp_md *ctx)
{
	return bpf_skb_pull_data((void *)ctx, 64);
}

SEC("raw_tp/task_newtask")
int missing_member(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];

	return BPF_CORE_READ(task, no_such_member);
}

char LICENSE[] SEC("license") = "GPL";
