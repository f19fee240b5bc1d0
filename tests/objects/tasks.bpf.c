// SPDX-License-Identifier: Apache-2.0
// Tasks that are found, held and given back, and work that runs in one later.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct task_struct {
	int pid;
	int tgid;
} __attribute__((preserve_access_index));

struct bpf_task_work {
	__u64 __opaque;
} __attribute__((aligned(8)));

struct tasked {
	long sum;
	struct bpf_task_work work;
};

struct bpf_map {
	int id;
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, int);
	__type(value, struct tasked);
} works SEC(".maps");

extern struct task_struct *bpf_task_from_pid(int) __ksym;
extern struct task_struct *bpf_task_acquire(struct task_struct *) __ksym;
extern void bpf_task_release(struct task_struct *) __ksym;
extern int bpf_task_work_schedule_resume_impl(struct task_struct *, struct bpf_task_work *, void *,
	int (*)(struct bpf_map *, void *, void *), void *) __ksym;

int pid, process, same, found, ran, ran_before, key_seen, again, twice;

static int work(struct bpf_map *map, void *key, void *value)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct tasked *tasked = value;

	ran++;
	key_seen = *(int *)key;
	tasked->sum += 5;
	again = bpf_task_work_schedule_resume_impl(task, &tasked->work, &works, work, 0);
	return 3;
}

SEC("syscall")
int schedule(int *wanted)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct tasked empty = {}, *tasked;
	int key = *wanted, answer;

	bpf_map_update_elem(&works, &key, &empty, BPF_NOEXIST);
	tasked = bpf_map_lookup_elem(&works, &key);
	if (!tasked)
		return -1;
	answer = bpf_task_work_schedule_resume_impl(task, &tasked->work, &works, work, 0);
	twice = bpf_task_work_schedule_resume_impl(task, &tasked->work, &works, work, 0);
	ran_before = ran;
	return answer;
}

SEC("syscall")
int schedule_and_delete(int *wanted)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct tasked empty = {}, *tasked;
	int key = *wanted, answer = -1;

	bpf_map_update_elem(&works, &key, &empty, BPF_NOEXIST);
	tasked = bpf_map_lookup_elem(&works, &key);
	if (tasked)
		answer = bpf_task_work_schedule_resume_impl(task, &tasked->work, &works, work, 0);
	bpf_map_delete_elem(&works, &key);
	return answer;
}

SEC("syscall")
int look(int *wanted)
{
	struct task_struct *current = bpf_get_current_task_btf(), *task, *other;

	pid = current->pid;
	process = current->tgid;
	task = bpf_task_from_pid(*wanted);
	found = task != 0;
	if (!task)
		return 0;
	same = task == current;
	other = bpf_task_acquire(task);
	if (other)
		bpf_task_release(other);
	bpf_task_release(task);
	return 0;
}

char _license[] SEC("license") = "GPL";
