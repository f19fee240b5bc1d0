// SPDX-License-Identifier: Apache-2.0
// A program that takes an object as large as they come, and gives it back.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

extern void *bpf_obj_new_impl(__u64 type, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *object, void *meta) __ksym;

struct item {
	__u64 words[500];
};

SEC("tc")
int takes(struct __sk_buff *skb)
{
	struct item *item = bpf_obj_new_impl(bpf_core_type_id_local(struct item), 0);

	if (!item)
		return 0;
	item->words[7] = skb->len;
	bpf_obj_drop_impl(item, 0);
	return 1;
}

char _license[] SEC("license") = "GPL";
