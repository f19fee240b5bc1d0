// SPDX-License-Identifier: Apache-2.0
// Maps as they were defined before BTF, in both kinds of section; a section of an unknown name.
#include <linux/bpf.h>
#define SEC(name) __attribute__((section(name), used))

struct bpf_map_def {
	unsigned int type, key_size, value_size, max_entries, map_flags;
};

struct bpf_map_def SEC("maps") first = { BPF_MAP_TYPE_ARRAY, 4, 8, 2, 0 };
struct bpf_map_def SEC("maps") second = { BPF_MAP_TYPE_HASH, 8, 4, 16, 1 };
struct bpf_map_def SEC("maps/third") third = { BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0 };

static void *(*lookup)(void *, const void *) = (void *)1;

SEC("socket1")
int peek(struct __sk_buff *skb)
{
	__u32 key = 0;
	__u64 *value = lookup(&first, &key);
	__u32 *other = lookup(&third, &key);

	return (value ? *value : 0) + (other ? *other : 0);
}

char _license[] SEC("license") = "GPL";
