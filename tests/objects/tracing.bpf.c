// SPDX-License-Identifier: Apache-2.0
// Programs on tracepoints and iterators: arguments, records, cookies, text for readers.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define KERNEL __attribute__((preserve_access_index))

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
} KERNEL;

struct bpf_map {
	__u32 id;
	__u32 max_entries;
	char name[16];
} KERNEL;

struct bpf_iter__bpf_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
} KERNEL;

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	void *value;
} KERNEL;

struct packet_record {
	__u64 common;
	void *skbaddr;
	__u16 protocol;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} dropped SEC(".maps");

__u64 raw_protocol, raw_cookie;

SEC("raw_tp/kfree_skb")
int raw(struct bpf_raw_tracepoint_args *ctx)
{
	raw_protocol = ctx->args[1];
	raw_cookie = bpf_get_attach_cookie(ctx);
	return 0;
}

SEC("tp/skb/kfree_skb")
int record(struct packet_record *ctx)
{
	__u32 key = ctx->protocol;
	__u64 one = 1, *value = bpf_map_lookup_elem(&dropped, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
	else
		bpf_map_update_elem(&dropped, &key, &one, BPF_ANY);
	return key != 0x806; // ARP is not worth a record
}

SEC("iter/bpf_map")
int list_maps(struct bpf_iter__bpf_map *ctx)
{
	struct bpf_map *map = ctx->map;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(ctx->meta->seq, "%-16s %s\n", "name", "entries");
	if (map)
		BPF_SEQ_PRINTF(ctx->meta->seq, "%-16s %u\n", map->name, map->max_entries);
	return 0;
}

SEC("iter/bpf_map_elem")
int list_dropped(struct bpf_iter__bpf_map_elem *ctx)
{
	__u32 *key = ctx->key;
	__u64 *value = ctx->value;

	if (key && value)
		BPF_SEQ_PRINTF(ctx->meta->seq, "%04x: %llu\n", *key, *value);
	return 0;
}

char _license[] SEC("license") = "GPL";
