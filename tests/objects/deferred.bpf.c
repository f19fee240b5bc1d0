// SPDX-License-Identifier: Apache-2.0
// What programs leave for later: timers of an array and a hash, and a work queue.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct bpf_wq {
	__u64 __opaque[2];
} __attribute__((aligned(8)));

struct later {
	int rounds;
	struct bpf_timer timer;
	struct bpf_wq work;
	int sum;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, int);
	__type(value, struct later);
} table SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, int);
	__type(value, struct later);
} sessions SEC(".maps");

extern int bpf_wq_init(struct bpf_wq *, void *, unsigned int) __ksym;
extern int bpf_wq_set_callback_impl(struct bpf_wq *, int (*)(void *, int *, void *),
	unsigned int, void *) __ksym;
extern int bpf_wq_start(struct bpf_wq *, unsigned int) __ksym;

struct request {
	int key;
	int rounds;
	__u64 nanoseconds;
	__u64 flags;
	int answer;
	int prepared;
};

int fired, worked, last_key, problems, cancelled;
__u64 when;

static int ring(void *map, int *key, struct later *value)
{
	fired++;
	last_key = *key;
	when = bpf_ktime_get_ns();
	value->sum += 7;
	if (value->rounds > 0) {
		value->rounds--;
		problems += bpf_timer_start(&value->timer, 100, 0) != 0;
	}
	return 0;
}

static int stop_itself(void *map, int *key, struct later *value)
{
	fired++;
	cancelled = bpf_timer_cancel(&value->timer);
	return 0;
}

static int remove_itself(void *map, int *key, struct later *value)
{
	fired++;
	problems += bpf_map_delete_elem(map, key) != 0;
	value->sum = 1;
	return 0;
}

static int labour(void *map, int *key, void *value)
{
	struct later *later = value;

	worked++;
	last_key = *key;
	later->sum += 100;
	if (later->rounds > 0) {
		later->rounds--;
		problems += bpf_wq_start(&later->work, 0) != 0;
	}
	return 0;
}

SEC("syscall")
int start_in_table(struct request *request)
{
	int key = request->key;
	struct later *value = bpf_map_lookup_elem(&table, &key);

	if (!value)
		return -1;
	request->prepared = bpf_timer_init(&value->timer, &table, 1);
	bpf_timer_set_callback(&value->timer, ring);
	value->rounds = request->rounds;
	request->answer = bpf_timer_start(&value->timer, request->nanoseconds, request->flags);
	return 0;
}

SEC("syscall")
int start_session(struct request *request)
{
	int key = request->key;
	struct later empty = {}, *value;

	bpf_map_update_elem(&sessions, &key, &empty, BPF_NOEXIST);
	value = bpf_map_lookup_elem(&sessions, &key);
	if (!value)
		return -1;
	request->prepared = bpf_timer_init(&value->timer, &sessions, 1);
	bpf_timer_set_callback(&value->timer, ring);
	value->rounds = request->rounds;
	request->answer = bpf_timer_start(&value->timer, request->nanoseconds, request->flags);
	return 0;
}

SEC("syscall")
int init_session(struct request *request)
{
	int key = request->key;
	struct later *value = bpf_map_lookup_elem(&sessions, &key);

	if (!value)
		return -1;
	request->answer = bpf_timer_init(&value->timer, &sessions, request->flags);
	return 0;
}

SEC("syscall")
int restart_session(struct request *request)
{
	int key = request->key;
	struct later *value = bpf_map_lookup_elem(&sessions, &key);

	if (!value)
		return -1;
	request->answer = bpf_timer_start(&value->timer, request->nanoseconds, request->flags);
	return 0;
}

SEC("syscall")
int cancel_session(struct request *request)
{
	int key = request->key;
	struct later *value = bpf_map_lookup_elem(&sessions, &key);

	if (!value)
		return -1;
	request->answer = bpf_timer_cancel(&value->timer);
	return 0;
}

SEC("syscall")
int stopping_session(struct request *request)
{
	int key = request->key;
	struct later *value = bpf_map_lookup_elem(&sessions, &key);

	if (!value)
		return -1;
	bpf_timer_set_callback(&value->timer, stop_itself);
	request->answer = bpf_timer_start(&value->timer, request->nanoseconds, 0);
	return 0;
}

SEC("syscall")
int vanishing_session(struct request *request)
{
	int key = request->key;
	struct later *value = bpf_map_lookup_elem(&sessions, &key);

	if (!value)
		return -1;
	bpf_timer_set_callback(&value->timer, remove_itself);
	request->answer = bpf_timer_start(&value->timer, request->nanoseconds, 0);
	return 0;
}

SEC("syscall")
int end_session(struct request *request)
{
	int key = request->key;
	request->answer = bpf_map_delete_elem(&sessions, &key);
	return 0;
}

SEC("syscall")
int queue_work(struct request *request)
{
	int key = request->key;
	struct later *value = bpf_map_lookup_elem(&table, &key);

	if (!value)
		return -1;
	request->prepared = bpf_wq_init(&value->work, &table, 0);
	bpf_wq_set_callback_impl(&value->work, labour, 0, 0);
	value->rounds = request->rounds;
	request->answer = bpf_wq_start(&value->work, request->flags);
	return 0;
}

char _license[] SEC("license") = "GPL";
