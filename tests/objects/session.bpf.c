// One of everything that the Python API shows: typed maps, per-CPU values, globals, a ring, printk.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct stats {
	__u64 packets;
	__u32 bytes;
	__u16 ports[2];
	char name[8];
};

enum colour { RED, GREEN = 7 };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct stats);
} typed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} percpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 2);
	__uint(value_size, 4);
} queue SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} events SEC(".maps");

__u64 counter;
int limit = 3;
enum colour colour = GREEN;
const volatile __u32 answer = 42;

SEC("xdp")
int count(struct xdp_md *ctx)
{
	__u32 key = 0;
	__u64 *slot = bpf_map_lookup_elem(&percpu, &key);

	if (slot)
		*slot += 1;
	counter += limit;
	bpf_printk("counted %d", counter);
	return answer;
}

SEC("xdp")
int record(struct xdp_md *ctx)
{
	__u32 *place = bpf_ringbuf_reserve(&ring, 1000, 0);

	if (!place)
		return XDP_ABORTED;
	*place = ctx->data_end - ctx->data;
	bpf_ringbuf_submit(place, 0);
	return XDP_PASS;
}

SEC("xdp")
int sample(struct xdp_md *ctx)
{
	__u32 value = 7;

	bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &value, sizeof(value));
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
