// SPDX-License-Identifier: Apache-2.0
// A global function that relies on RCU: the program may call it, its work queue's callback may not.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct bpf_wq {
	__u64 __opaque[2];
} __attribute__((aligned(8)));

struct task_struct {
	int pid;
} __attribute__((preserve_access_index));

struct held {
	struct task_struct __attribute__((btf_type_tag("kptr"))) *task;
	struct bpf_wq work;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct held);
} table SEC(".maps");

extern int bpf_wq_set_callback_impl(struct bpf_wq *, int (*)(void *, int *, void *),
	unsigned int, void *) __ksym;
extern struct task_struct *bpf_task_acquire(struct task_struct *) __ksym;
extern void bpf_task_release(struct task_struct *) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;

__attribute__((noinline)) int touch(void)
{
	int key = 0;
	struct held *held = bpf_map_lookup_elem(&table, &key);
	struct task_struct *task;

	if (!held || !held->task)
		return 0;
	task = held->task;
	if (!task)
		return 0;
	task = bpf_task_acquire(task);
	if (!task)
		return 0;
	bpf_task_release(task);
	return 1;
}

static int labour(void *map, int *key, void *value)
{
	touch();
	return 0;
}

static int careful_labour(void *map, int *key, void *value)
{
	bpf_rcu_read_lock();
	touch();
	bpf_rcu_read_unlock();
	return 0;
}

SEC("tc")
int awake(struct __sk_buff *ctx)
{
	return touch();
}

SEC("tc")
int asleep(struct __sk_buff *ctx)
{
	int key = 0;
	struct held *held = bpf_map_lookup_elem(&table, &key);

	return held && bpf_wq_set_callback_impl(&held->work, labour, 0, 0);
}

SEC("tc")
int asleep_in_section(struct __sk_buff *ctx)
{
	int key = 0;
	struct held *held = bpf_map_lookup_elem(&table, &key);

	return held && bpf_wq_set_callback_impl(&held->work, careful_labour, 0, 0);
}

char _license[] SEC("license") = "GPL";
