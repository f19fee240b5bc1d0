// SPDX-License-Identifier: Apache-2.0
// Maps whose values hold a lock, collections and kernel pointers, for programs that are generated.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define __contains(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))
#define __kptr __attribute__((btf_type_tag("kptr")))

struct bpf_list_head {
	__u64 __opaque[2];
} __attribute__((aligned(8)));

struct bpf_list_node {
	__u64 __opaque[3];
} __attribute__((aligned(8)));

struct bpf_rb_root {
	__u64 __opaque[2];
} __attribute__((aligned(8)));

struct bpf_rb_node {
	__u64 __opaque[4];
} __attribute__((aligned(8)));

struct bpf_refcount {
	__u32 __opaque[1];
} __attribute__((aligned(4)));

struct task_struct {
	int pid;
};

struct entry {
	struct bpf_list_node in_list; // 0
	struct bpf_rb_node in_tree;   // 24
	struct bpf_refcount refs;     // 56
	__u64 key;                    // 64
};

struct box {
	struct bpf_spin_lock lock;                           // 0
	struct bpf_list_head list __contains(entry, in_list); // 8
	struct bpf_rb_root tree __contains(entry, in_tree);   // 24
	struct entry __kptr *kept;                            // 40
	struct task_struct __kptr *task;                      // 48
	__u64 data[3];                                        // 56
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct box);
} boxes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct box);
} drawers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

static __noinline long part(void *value) // its type serves the generated subprograms
{
	// or there would be no such types
	__u32 types = __builtin_btf_type_id(*(struct entry *)0, 0) +
		      __builtin_btf_type_id(*(struct task_struct *)0, 0);

	return bpf_ringbuf_output(&ring, value, 4, 0) + types;
}

SEC("tc")
int shelf(struct __sk_buff *skb)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&boxes, &key) || bpf_map_lookup_elem(&drawers, &key) ||
	       bpf_map_lookup_elem(&counts, &key) || part(&key);
}

char _license[] SEC("license") = "GPL";
