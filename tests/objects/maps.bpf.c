// SPDX-License-Identifier: Apache-2.0
// Every field that a map definition can have.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
};

struct inner red SEC(".maps"), blue SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = {
	.values = { [1] = &red, [3] = &blue },
};

int leaf(void *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, sizeof(__u32));
	__array(values, int (void *));
} jumps SEC(".maps") = {
	.values = { [1] = (void *)&leaf },
};

struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__uint(max_entries, 100);
	__uint(value_size, 4);
	__uint(map_extra, 3);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_NUMA_NODE);
	__uint(numa_node, 0);
} bloom SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 5000);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} events SEC(".maps");

SEC("socket")
int leaf(void *ctx)
{
	return 7;
}

SEC("socket")
int jump(void *ctx)
{
	__u32 slot = 3;
	__u64 *value, *map = bpf_map_lookup_elem(&outer, &slot);

	if (map && (slot = 2, value = bpf_map_lookup_elem(map, &slot)))
		*value += 1;
	bpf_tail_call(ctx, &jumps, 1);
	return 0;
}

char _license[] SEC("license") = "GPL";
