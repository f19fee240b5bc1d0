/* SPDX-License-Identifier: Apache-2.0 */
/* Timers, work queues and task work: right, and broken in one way each. */
#include "common.h"

typedef int (*later_fn)(struct bpf_map *, void *, void *);
extern int bpf_task_work_schedule_signal_impl(struct task_struct *, struct bpf_task_work *, void *,
	int (*)(struct bpf_map *, void *, void *), void *) __ksym;
extern int bpf_task_work_schedule_resume_impl(struct task_struct *, struct bpf_task_work *, void *,
	int (*)(struct bpf_map *, void *, void *), void *) __ksym;

struct all {
	int x;
	struct bpf_timer t;
	struct bpf_wq w;
	struct bpf_task_work k;
	int y;
};

struct timed { struct bpf_timer t; };
struct worked { struct bpf_wq w; };
struct tasked { long pad; struct bpf_task_work k; };
struct plain { long x[4]; };
struct locked { struct bpf_spin_lock lock; struct bpf_timer t; int x; };
struct big { struct bpf_timer t; char room[600]; };

#define MAP(name, kind, T) struct {                                                              \
	__uint(type, BPF_MAP_TYPE_##kind); __uint(max_entries, 4);                               \
	__type(key, int); __type(value, T); } name SEC(".maps")
MAP(alls, ARRAY, struct all);
MAP(alls2, ARRAY, struct all);
MAP(timers, HASH, struct timed);
MAP(timers2, LRU_HASH, struct timed);
MAP(works, HASH, struct worked);
MAP(works2, ARRAY, struct worked);
MAP(tasks, HASH, struct tasked);
MAP(tasks2, ARRAY, struct tasked);
MAP(plains, ARRAY, struct plain);
MAP(lockeds, ARRAY, struct locked);
MAP(bigs, ARRAY, struct big);

struct inner_timers {
	__uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4);
	__type(key, int); __type(value, struct all);
} inner1 SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 2); __type(key, int);
	__array(values, struct inner_timers);
} outer SEC(".maps") = { .values = { [0] = &inner1 } };

#define GET(T, map) int key = 0; T *v = bpf_map_lookup_elem(&map, &key); if (!v) return 0;

static int ok(void *map, int *key, void *value) { return 0; }
static int ok_all(void *map, int *key, struct all *v) { v->x = *key; v->y++; return 0; }
static int one(void *map, int *key, void *value) { return 1; }
static int any(void *map, int *key, struct all *v) { return v->x; }
static int writes_key(void *map, int *key, void *value) { *key = 1; return 0; }
static int writes_timer(void *map, int *key, struct timed *v) { *(long *)&v->t = 0; return 0; }
static int reads_map(struct bpf_map *map, int *key, void *value) { return map->id ? 0 : 0; }
static int updates(void *map, int *key, void *value) { long v[10] = {}; bpf_map_update_elem(map, key, v, 0); return 0; }
static int deletes(void *map, int *key, void *value) { bpf_map_delete_elem(map, key); return 0; }
static int looks(void *map, int *key, void *value) { bpf_map_lookup_elem(map, key); return 0; }
static int beyond(void *map, int *key, struct timed *v) { return *(int *)((void *)v + 16); }
static int fourth(void *map, int *key, void *value, void *ctx) { return ctx != 0; }
static int rearms(void *map, int *key, struct timed *v) { bpf_timer_start(&v->t, 1, 0); return 0; }
static int resets(void *map, int *key, struct timed *v) { bpf_timer_set_callback(&v->t, ok); return 0; }
static int resets_self(void *map, int *key, struct timed *v) { bpf_timer_set_callback(&v->t, resets_self); return 0; }
static int cancels(void *map, int *key, struct timed *v) { bpf_timer_cancel(&v->t); return 0; }
static int inits(void *map, int *key, struct timed *v) { bpf_timer_init(&v->t, map, 1); return 0; }
static int inits_other(void *map, int *key, struct timed *v) { bpf_timer_init(&v->t, &timers2, 1); return 0; }
static int inits_named(void *map, int *key, struct timed *v) { bpf_timer_init(&v->t, &timers, 1); return 0; }
static int sleeps(void *map, int *key, void *value) { char b[8]; bpf_copy_from_user(b, 8, (void *)1); return 0; }
static int leaks(void *map, int *key, void *value) { bpf_task_from_pid(1); return 0; }
static int drops(void *map, int *key, void *value) { struct task_struct *t = bpf_task_from_pid(1); if (t) bpf_task_release(t); return 0; }
static int rcu_open(void *map, int *key, void *value) { bpf_rcu_read_lock(); return 0; }
static int rcu_closed(void *map, int *key, void *value) { bpf_rcu_read_lock(); bpf_rcu_read_unlock(); return 0; }
static __noinline int deep(void *map, int *key, void *value) { volatile char room[500] = {}; room[*key & 255] = 1; return 0; }
static int too_deep(void *map, int *key, void *value) { volatile char room[500] = {}; room[*key & 255] = 1; deep(map, key, value); return 0; }
static int loops(void *map, int *key, void *value) { for (int i = 0; i < 100; i++) bpf_printk("%d", i); return 0; }
static int pointer(void *map, int *key, void *value) { return (long)value; }
static int minus(void *map, int *key, void *value) { return -1; }
static int nothing(void *map, int *key, void *value) { asm volatile("r0 = 0; exit"); return 0; }
__noinline int global_callback(void *map) { return 0; }

/* timers */
#define INIT(name, T, map, other, flags) S(name) { GET(T, map) return bpf_timer_init(&v->t, &other, flags); }
INIT(init_good, struct timed, timers, timers, 1)
INIT(init_lru, struct timed, timers2, timers2, 7)
INIT(init_all, struct all, alls, alls, 0)
INIT(init_other, struct timed, timers, timers2, 1)
INIT(init_same_type, struct all, alls, alls2, 1)
INIT(init_flags, struct timed, timers, timers, -1)
INIT(init_locked, struct locked, lockeds, lockeds, 1)
S(init_plain) { GET(struct timed, plains) return bpf_timer_init(&v->t, &plains, 1); }
S(init_off) { GET(struct all, alls) return bpf_timer_init((void *)&v->t + 8, &alls, 1); }
S(init_start) { GET(struct all, alls) return bpf_timer_init((void *)v, &alls, 1); }
S(init_wq) { GET(struct all, alls) return bpf_timer_init((void *)&v->w, &alls, 1); }
S(init_stack) { struct bpf_timer t = {}; return bpf_timer_init(&t, &timers, 1); }
S(init_null) { int key = 0; struct timed *v = bpf_map_lookup_elem(&timers, &key); return bpf_timer_init(&v->t, &timers, 1); }
S(init_context) { return bpf_timer_init(ctx, &timers, 1); }
S(init_variable) { GET(struct big, bigs) key = bpf_get_prandom_u32() & 8; return bpf_timer_init((void *)&v->t + key, &bigs, 1); }
S(init_under_lock) { GET(struct locked, lockeds) bpf_spin_lock(&v->lock); bpf_timer_init(&v->t, &lockeds, 1); bpf_spin_unlock(&v->lock); return 0; }
S(init_in_rcu) { GET(struct timed, timers) bpf_rcu_read_lock(); bpf_timer_init(&v->t, &timers, 1); bpf_rcu_read_unlock(); return 0; }
S(init_inner) {
	int key = 0; void *inner = bpf_map_lookup_elem(&outer, &key); if (!inner) return 0;
	struct all *v = bpf_map_lookup_elem(inner, &key); if (!v) return 0;
	return bpf_timer_init(&v->t, inner, 1);
}
S(init_inner_twice) {
	int key = 0, key1 = 1; void *inner = bpf_map_lookup_elem(&outer, &key); if (!inner) return 0;
	void *inner2 = bpf_map_lookup_elem(&outer, &key1); if (!inner2) return 0;
	struct all *v = bpf_map_lookup_elem(inner, &key); if (!v) return 0;
	return bpf_timer_init(&v->t, inner2, 1);
}
S(init_inner_outer) {
	int key = 0; void *inner = bpf_map_lookup_elem(&outer, &key); if (!inner) return 0;
	struct all *v = bpf_map_lookup_elem(inner, &key); if (!v) return 0;
	return bpf_timer_init(&v->t, &inner1, 1);
}
#define SET(f) S(set_##f) { GET(struct timed, timers) return bpf_timer_set_callback(&v->t, f); }
SET(ok) SET(one) SET(writes_key) SET(writes_timer) SET(reads_map) SET(updates) SET(deletes)
SET(looks) SET(beyond) SET(fourth) SET(rearms) SET(resets) SET(resets_self) SET(cancels) SET(inits)
SET(inits_other) SET(inits_named) SET(sleeps) SET(leaks) SET(drops) SET(rcu_open) SET(rcu_closed)
SET(deep) SET(too_deep) SET(loops) SET(pointer) SET(minus) SET(global_callback)
S(set_any) { GET(struct all, alls) return bpf_timer_set_callback(&v->t, any); }
S(set_ok_all) { GET(struct all, alls) return bpf_timer_set_callback(&v->t, ok_all); }
S(set_null) { GET(struct timed, timers) return bpf_timer_set_callback(&v->t, 0); }
S(set_plain) { GET(struct plain, plains) return bpf_timer_set_callback((void *)v, ok); }
S(set_deep_caller) { volatile char room[500] = {}; room[5] = 1; GET(struct timed, timers) return bpf_timer_set_callback(&v->t, deep) + room[1]; }
S(set_two) { GET(struct timed, timers) bpf_timer_set_callback(&v->t, ok); return bpf_timer_set_callback(&v->t, one); }
S(set_direct_too) { GET(struct timed, timers) bpf_timer_set_callback(&v->t, ok); return ok(&timers, &key, v); }
S(set_inner) {
	int key = 0; void *inner = bpf_map_lookup_elem(&outer, &key); if (!inner) return 0;
	struct all *v = bpf_map_lookup_elem(inner, &key); if (!v) return 0;
	return bpf_timer_set_callback(&v->t, inits);
}
S(start) { GET(struct timed, timers) return bpf_timer_start(&v->t, 1000, 0); }
S(start_flags) { GET(struct timed, timers) return bpf_timer_start(&v->t, 1000, 99); }
S(start_unknown) { GET(struct all, alls) return bpf_timer_start(&v->t, v->x, v->y); }
S(start_plain) { GET(struct plain, plains) return bpf_timer_start((void *)v, 1, 0); }
S(cancel) { GET(struct timed, timers) return bpf_timer_cancel(&v->t); }
S(cancel_locked) { GET(struct locked, lockeds) bpf_spin_lock(&v->lock); bpf_timer_cancel(&v->t); bpf_spin_unlock(&v->lock); return 0; }
T(tc_timer) { GET(struct timed, timers) bpf_timer_init(&v->t, &timers, 1); bpf_timer_set_callback(&v->t, ok); return bpf_timer_start(&v->t, 1, 0); }
T(tc_sleeps) { GET(struct timed, timers) return bpf_timer_set_callback(&v->t, sleeps); }
P(tp_timer) { GET(struct timed, timers) return bpf_timer_start(&v->t, 1, 0); }
SEC("?kprobe") int kp_timer(void *ctx) { GET(struct timed, timers) return bpf_timer_start(&v->t, 1, 0); }
SEC("?tracepoint") int tr_timer(void *ctx) { GET(struct timed, timers) return v != 0; }
SEC("?raw_tp") int rt_timer(void *ctx) { GET(struct timed, timers) return v != 0; }
SEC("?kprobe") int kp_tasked(void *ctx) { GET(struct tasked, tasks) return v != 0; }
SEC("?kprobe") int kp_worked(void *ctx) { GET(struct worked, works) return v != 0; }
SEC("?socket") int so_timer(void *ctx) { GET(struct timed, timers) return bpf_timer_start(&v->t, 1, 0); }
SEC("?cgroup_skb/egress") int cg_timer(void *ctx) { GET(struct timed, timers) bpf_timer_start(&v->t, 1, 0); return 1; }
S(store_timer) { GET(struct timed, timers) *(long *)&v->t = 1; return 0; }
S(load_timer) { GET(struct timed, timers) return *(long *)&v->t; }
S(store_work) { GET(struct worked, works) *(int *)&v->w = 1; return 0; }
S(store_task) { GET(struct tasked, tasks) *(int *)&v->k = 1; return 0; }
S(store_pad) { GET(struct tasked, tasks) v->pad = 1; return 0; }
S(copy_over) { GET(struct timed, timers) return bpf_probe_read_kernel(v, 16, 0); }

/* work queues */
#define WORK(f) S(work_##f) { GET(struct worked, works) return bpf_wq_set_callback_impl(&v->w, f, 0, 0); }
static int w_ok(void *map, int *key, void *value) { return 0; }
static int w_one(void *map, int *key, void *value) { return 1; }
static int w_sleeps(void *map, int *key, void *value) { char b[8]; bpf_copy_from_user(b, 8, (void *)1); return 0; }
static int w_sleeps_rcu(void *map, int *key, void *value) { char b[8]; bpf_rcu_read_lock(); bpf_copy_from_user(b, 8, (void *)1); bpf_rcu_read_unlock(); return 0; }
static int w_value(void *map, int *key, struct worked *v) { bpf_wq_start(&v->w, 0); return 0; }
static int w_resets(void *map, int *key, struct worked *v) { return bpf_wq_set_callback_impl(&v->w, w_ok, 0, 0) != 0; }
static int w_leaks(void *map, int *key, void *value) { bpf_task_from_pid(1); return 0; }
static int w_beyond(void *map, int *key, struct worked *v) { return *(int *)((void *)v + 16) * 0; }
static int w_deep(void *map, int *key, void *value) { volatile char room[500] = {}; room[*key & 255] = 1; return 0; }
static int w_task(void *map, int *key, void *value) { struct task_struct *t = bpf_get_current_task_btf(); return t->pid * 0; }
WORK(w_ok) WORK(w_one) WORK(w_sleeps) WORK(w_sleeps_rcu) WORK(w_value) WORK(w_resets) WORK(w_leaks) WORK(w_beyond) WORK(w_deep) WORK(w_task)
S(work_init) { GET(struct worked, works) return bpf_wq_init(&v->w, &works, 0); }
S(work_init_other) { GET(struct worked, works) return bpf_wq_init(&v->w, &works2, 0); }
S(work_init_off) { GET(struct all, alls) return bpf_wq_init((void *)&v->t, &alls, 0); }
S(work_init_stack) { struct bpf_wq w; return bpf_wq_init(&w, &works, 0); }
S(work_init_null) { int key = 0; struct worked *v = bpf_map_lookup_elem(&works, &key); return bpf_wq_init(&v->w, &works, 0); }
S(work_start) { GET(struct worked, works) return bpf_wq_start(&v->w, 0); }
S(work_start_plain) { GET(struct plain, plains) return bpf_wq_start((void *)v, 0); }
T(work_tc) { GET(struct worked, works) bpf_wq_init(&v->w, &works, 0); bpf_wq_set_callback_impl(&v->w, w_sleeps, 0, 0); return bpf_wq_start(&v->w, 0); }
P(work_tp) { GET(struct worked, works) return bpf_wq_start(&v->w, 0); }
S(work_init_inner_twice) {
	int key = 0, key1 = 1; void *inner = bpf_map_lookup_elem(&outer, &key); if (!inner) return 0;
	void *inner2 = bpf_map_lookup_elem(&outer, &key1); if (!inner2) return 0;
	struct all *v = bpf_map_lookup_elem(inner, &key); if (!v) return 0;
	return bpf_wq_init(&v->w, inner2, 0);
}

/* task work */
#define TASK(f) S(task_##f) { struct task_struct *t = bpf_get_current_task_btf(); GET(struct tasked, tasks) \
	return bpf_task_work_schedule_signal_impl(t, &v->k, &tasks, f, 0); }
static int k_ok(struct bpf_map *map, void *key, void *value) { return 0; }
static int k_many(struct bpf_map *map, void *key, void *value) { return bpf_get_prandom_u32(); }
static int k_sleeps(struct bpf_map *map, void *key, void *value) { char b[8]; bpf_copy_from_user(b, 8, (void *)1); return 0; }
static int k_again(struct bpf_map *map, void *key, void *value) {
	struct tasked *v = value; struct task_struct *t = bpf_get_current_task_btf();
	return bpf_task_work_schedule_signal_impl(t, &v->k, &tasks, k_ok, 0);
}
static int k_leaks(struct bpf_map *map, void *key, void *value) { bpf_task_from_pid(1); return 0; }
static int k_value(struct bpf_map *map, void *key, void *value) { struct tasked *v = value; v->pad = *(int *)key; return 0; }
static int k_breaks(struct bpf_map *map, void *key, void *value) { struct tasked *v = value; *(long *)&v->k = 1; return 0; }
static int k_pointer(struct bpf_map *map, void *key, void *value) { asm volatile("r0 = r3; exit"); return 0; }
static int k_small(struct bpf_map *map, void *key, void *value) { return bpf_get_prandom_u32() & 7; }
static int k_minus(struct bpf_map *map, void *key, void *value) { return -1; }
static int k_least(struct bpf_map *map, void *key, void *value) { return (int)0x80000000; }
static int k_most(struct bpf_map *map, void *key, void *value) { return 0x7fffffff; }
TASK(k_small) TASK(k_minus) TASK(k_least) TASK(k_most)
TASK(k_ok) TASK(k_many) TASK(k_sleeps) TASK(k_again) TASK(k_leaks) TASK(k_value) TASK(k_breaks) TASK(k_pointer)
S(task_resume) { struct task_struct *t = bpf_get_current_task_btf(); GET(struct tasked, tasks) return bpf_task_work_schedule_resume_impl(t, &v->k, &tasks, k_ok, 0); }
S(task_other_map) { struct task_struct *t = bpf_get_current_task_btf(); GET(struct tasked, tasks) return bpf_task_work_schedule_resume_impl(t, &v->k, &tasks2, k_ok, 0); }
S(task_plain) { struct task_struct *t = bpf_get_current_task_btf(); GET(struct plain, plains) return bpf_task_work_schedule_resume_impl(t, (void *)v, &plains, k_ok, 0); }
S(task_off) { struct task_struct *t = bpf_get_current_task_btf(); GET(struct tasked, tasks) return bpf_task_work_schedule_resume_impl(t, (void *)v, &tasks, k_ok, 0); }
S(task_null) { struct task_struct *t = bpf_get_current_task_btf(); int key = 0; struct tasked *v = bpf_map_lookup_elem(&tasks, &key); return bpf_task_work_schedule_resume_impl(t, &v->k, &tasks, k_ok, 0); }
S(task_no_task) { GET(struct tasked, tasks) return bpf_task_work_schedule_resume_impl(0, &v->k, &tasks, k_ok, 0); }
S(task_untrusted) { struct task_struct *t = bpf_get_current_task_btf(); t = t->last_wakee; GET(struct tasked, tasks) return bpf_task_work_schedule_resume_impl(t, &v->k, &tasks, k_ok, 0); }
S(task_acquired) { struct task_struct *t = bpf_task_from_pid(1); if (!t) return 0; int key = 0; struct tasked *v = bpf_map_lookup_elem(&tasks, &key); if (v) bpf_task_work_schedule_resume_impl(t, &v->k, &tasks, k_ok, 0); bpf_task_release(t); return 0; }
S(task_no_function) { struct task_struct *t = bpf_get_current_task_btf(); GET(struct tasked, tasks) return bpf_task_work_schedule_resume_impl(t, &v->k, &tasks, 0, 0); }
S(task_null_map) { struct task_struct *t = bpf_get_current_task_btf(); GET(struct tasked, tasks) return bpf_task_work_schedule_resume_impl(t, &v->k, 0, k_ok, 0); }
P(task_tp) { GET(struct tasked, tasks) return bpf_task_work_schedule_signal_impl(task, &v->k, &tasks, k_ok, 0) * 0; }
T(task_tc) { struct task_struct *t = bpf_get_current_task_btf(); GET(struct tasked, tasks) return bpf_task_work_schedule_signal_impl(t, &v->k, &tasks, k_ok, 0); }
SEC("?perf_event") int task_perf(void *ctx) { struct task_struct *t = bpf_get_current_task_btf(); GET(struct tasked, tasks) return bpf_task_work_schedule_signal_impl(t, &v->k, &tasks, k_ok, 0); }
SEC("?kprobe") int task_probe(void *ctx) { struct task_struct *t = bpf_get_current_task_btf(); GET(struct tasked, tasks) return bpf_task_work_schedule_signal_impl(t, &v->k, &tasks, k_ok, 0); }
SEC("?xdp") int task_xdp(void *ctx) { struct task_struct *t = bpf_get_current_task_btf(); GET(struct tasked, tasks) return bpf_task_work_schedule_signal_impl(t, &v->k, &tasks, k_ok, 0); }
