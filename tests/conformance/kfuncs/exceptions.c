/* SPDX-License-Identifier: Apache-2.0 */
/* Exceptions: who may throw, who may catch, and with what in hand. */
/* No program with a callback has a function that only dead code calls: Linux 6.18 removes that */
/* function, keeps the callback's old number, and oopses. */
#include "common.h"

#define CATCH(f) __attribute__((btf_decl_tag("exception_callback:" #f)))

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, int);
} jumps SEC(".maps");

struct lockable {
	struct bpf_spin_lock lock;
	int x;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct lockable);
} locks SEC(".maps");

struct timed {
	struct bpf_timer t;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct timed);
} timers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

__noinline int catch_plain(u64 cookie) { return cookie + 1; }
__noinline int catch_small(u64 cookie) { return cookie & 1; }
__noinline u64 catch_wide(u64 cookie) { return cookie; }
__noinline int catch_int(int cookie) { return cookie; }
__noinline int catch_none(void) { return 0; }
__noinline int catch_two(u64 cookie, u64 other) { return cookie + other; }
__noinline int catch_pointer(struct __sk_buff *skb) { return skb->len; }
__noinline int catch_memory(int *cookie) { return cookie ? *cookie : 0; }
__noinline void catch_void(u64 cookie) { bpf_printk("%d", cookie); }
static __noinline int catch_static(u64 cookie) { return cookie; }
__noinline int catch_throws(u64 cookie) { bpf_throw(cookie); return 0; }
__weak int catch_weak(u64 cookie) { return cookie != 0; }
__noinline int catch_itself(u64 cookie) { if (cookie > 5) return catch_itself(cookie); return 1; }
static __noinline int helper_of_catch(u64 cookie) { return cookie * 2; }
__noinline int catch_calls(u64 cookie) { return helper_of_catch(cookie) + 1; }
__noinline int thrower_global(int x) { if (x) bpf_throw(7); return 0; }
__noinline int catch_calls_thrower(u64 cookie) { return thrower_global(cookie); }
__noinline int catch_deep(u64 cookie) {
	volatile char room[400] = {};
	room[cookie & 255] = 1;
	return room[1];
}
__noinline int catch_too_deep(u64 cookie) {
	volatile char room[500] = {};
	room[cookie & 255] = 1;
	return room[1] + helper_of_catch(cookie) + catch_deep(cookie);
}
__noinline int catch_ref(u64 cookie) { bpf_task_from_pid(1); return 0; }
__noinline int catch_lock(u64 cookie) {
	int zero = 0;
	struct lockable *v = bpf_map_lookup_elem(&locks, &zero);
	if (v) {
		bpf_spin_lock(&v->lock);
		v->x = cookie;
		bpf_spin_unlock(&v->lock);
	}
	return 0;
}
__noinline int catch_time(u64 cookie) { return bpf_ktime_get_ns() > cookie; }

static __noinline int thrower(int x) { if (x) bpf_throw(3); return x; }
static __noinline int deeper(int x) { return thrower(x) + thrower(x + 1); }

T(plain) { bpf_throw(0); return 0; }
T(plain_cookie) { bpf_throw(ctx->len); return 0; }
T(from_below) { return deeper(ctx->len); }
T(from_global) { return thrower_global(ctx->len); }
CATCH(catch_plain) T(caught) { bpf_throw(0); return 0; }
CATCH(catch_plain) T(caught_below) { return deeper(ctx->len); }
CATCH(catch_plain) T(caught_global) { return thrower_global(ctx->len); }
CATCH(catch_plain) T(caught_unused) { return ctx->len; }
CATCH(catch_wide) T(caught_wide) { bpf_throw(ctx->len); return 0; }
CATCH(catch_int) T(caught_int) { bpf_throw(ctx->len); return 0; }
CATCH(catch_none) T(caught_none) { bpf_throw(ctx->len); return 0; }
CATCH(catch_two) T(caught_two) { bpf_throw(ctx->len); return 0; }
CATCH(catch_pointer) T(caught_pointer) { bpf_throw(ctx->len); return 0; }
CATCH(catch_memory) T(caught_memory) { bpf_throw(ctx->len); return 0; }
CATCH(catch_void) T(caught_void) { bpf_throw(ctx->len); return 0; }
CATCH(catch_throws) T(caught_throws) { bpf_throw(ctx->len); return 0; }
CATCH(catch_weak) T(caught_weak) { bpf_throw(ctx->len); return 0; }
CATCH(catch_itself) T(caught_itself) { bpf_throw(ctx->len); return 0; }
CATCH(catch_calls) T(caught_calls) { bpf_throw(ctx->len); return 0; }
CATCH(catch_calls_thrower) T(caught_calls_thrower) { bpf_throw(ctx->len); return 0; }
CATCH(catch_deep) T(caught_deep) { volatile char room[400] = {}; bpf_throw(room[ctx->len & 15]); return 0; }
CATCH(catch_too_deep) T(caught_too_deep) { bpf_throw(ctx->len); return 0; }
CATCH(catch_ref) T(caught_ref) { bpf_throw(ctx->len); return 0; }
CATCH(catch_lock) T(caught_lock) { bpf_throw(ctx->len); return 0; }
CATCH(catch_time) T(caught_time) { bpf_throw(ctx->len); return 0; }
CATCH(catch_plain) T(caught_called) { if (ctx->len > 3) bpf_throw(1); return catch_plain(ctx->len); }
CATCH(catch_plain) T(caught_called_only) { return catch_plain(ctx->len); }

/* what is held */
T(with_ref) {
	struct task_struct *t = bpf_task_from_pid(1);
	if (!t) return 0;
	bpf_throw(0);
	bpf_task_release(t);
	return 0;
}
T(with_ref_below) {
	struct task_struct *t = bpf_task_from_pid(1);
	if (!t) return 0;
	thrower(ctx->len);
	bpf_task_release(t);
	return 0;
}
T(after_release) {
	struct task_struct *t = bpf_task_from_pid(1);
	if (t) bpf_task_release(t);
	bpf_throw(0);
	return 0;
}
T(with_record) {
	int *record = bpf_ringbuf_reserve(&ring, 8, 0);
	if (!record) return 0;
	if (ctx->len) bpf_throw(1);
	bpf_ringbuf_discard(record, 0);
	return 0;
}
T(with_lock) {
	int zero = 0;
	struct lockable *v = bpf_map_lookup_elem(&locks, &zero);
	if (!v) return 0;
	bpf_spin_lock(&v->lock);
	bpf_throw(1);
	return 0;
}
T(in_rcu) { bpf_rcu_read_lock(); bpf_throw(1); return 0; }
T(in_rcu_below) { bpf_rcu_read_lock(); thrower(ctx->len); bpf_rcu_read_unlock(); return 0; }
T(in_preempt) { bpf_preempt_disable(); bpf_throw(1); return 0; }
T(in_irq) { unsigned long flags; bpf_local_irq_save(&flags); bpf_throw(1); return 0; }
T(in_iterator) { int i; bpf_for(i, 0, 3) if (ctx->len == i) bpf_throw(i); return 0; }
T(with_object) {
	struct lockable *object = obj_new(struct lockable);
	if (!object) return 0;
	thrower(ctx->len);
	drop(object);
	return 0;
}

/* callbacks */
static int loop_throws(u32 i, void *c) { if (i == 7) bpf_throw(2); return 0; }
static int loop_below(u32 i, void *c) { return thrower(i); }
static int loop_global(u32 i, void *c) { return thrower_global(i); }
static int loop_plain(u32 i, void *c) { return i > 7; }
T(in_loop) { bpf_loop(10, loop_throws, 0, 0); return 0; }
T(in_loop_below) { bpf_loop(10, loop_below, 0, 0); return 0; }
T(in_loop_global) { bpf_loop(10, loop_global, 0, 0); return 0; }
T(after_loop) { bpf_loop(10, loop_plain, 0, 0); bpf_throw(4); return 0; }
static int each_throws(void *map, int *key, struct lockable *v, void *c) { bpf_throw(1); return 0; }
T(in_each) { bpf_for_each_map_elem(&locks, each_throws, 0, 0); return 0; }
static int late_throws(void *map, int *key, struct timed *v) { bpf_throw(0); return 0; }
T(in_timer) {
	int zero = 0;
	struct timed *v = bpf_map_lookup_elem(&timers, &zero);
	if (!v) return 0;
	bpf_timer_init(&v->t, &timers, 1);
	bpf_timer_set_callback(&v->t, late_throws);
	return 0;
}
static int late_plain(void *map, int *key, struct timed *v) { return 0; }
CATCH(catch_plain) T(timer_and_throw) {
	int zero = 0;
	struct timed *v = bpf_map_lookup_elem(&timers, &zero);
	if (!v) return 0;
	bpf_timer_init(&v->t, &timers, 1);
	bpf_timer_set_callback(&v->t, late_plain);
	bpf_throw(5);
	return 0;
}

/* tail calls */
T(jumps_away) { bpf_tail_call(ctx, &jumps, 0); bpf_throw(1); return 0; }
static __noinline int jumper(struct __sk_buff *ctx) { bpf_tail_call(ctx, &jumps, 0); return 1; }
T(jumps_below) { int x = jumper(ctx); bpf_throw(x); return 0; }
CATCH(catch_plain) T(jumps_caught) { bpf_tail_call(ctx, &jumps, 0); bpf_throw(1); return 0; }

/* what may be returned */
#define X(name) SEC("?fmod_ret.s/bpf_modify_return_test") int name(void *ctx)
#define C(name) SEC("?cgroup_skb/ingress") int name(struct __sk_buff *ctx)
#define K(name) SEC("?cgroup/sock_create") int name(struct bpf_sock *ctx)
C(range_good) { bpf_throw(1); return 0; }
C(range_bad) { bpf_throw(5); return 0; }
C(range_unknown) { bpf_throw(ctx->len); return 0; }
CATCH(catch_small) C(range_caught) { bpf_throw(ctx->len); return 0; }
CATCH(catch_plain) C(range_caught_bad) { bpf_throw(0); return 0; }
CATCH(catch_wide) C(range_caught_wide) { bpf_throw(1); return 0; }
K(sock_good) { bpf_throw(1); return 0; }
K(sock_bad) { bpf_throw(2); return 0; }
CATCH(catch_small) K(sock_caught) { bpf_throw(2); return 0; }
CATCH(catch_plain) K(sock_caught_bad) { bpf_throw(2); return 0; }
P(traced) { bpf_throw(0); return 0; }
CATCH(catch_plain) P(traced_caught) { bpf_throw(0); return 0; }
SEC("?tp_btf/task_newtask") int traced_pointer(u64 *ctx) { bpf_throw((u64)ctx); return 0; }
T(pointer) { bpf_throw((u64)ctx); return 0; }
S(asleep) { bpf_throw(1); return 0; }
CATCH(catch_plain) S(asleep_caught) { bpf_throw(1); return 0; }
SEC("?xdp") int frames(struct xdp_md *ctx) { bpf_throw(2); return 0; }
CATCH(catch_plain) SEC("?xdp") int frames_caught(struct xdp_md *ctx) { bpf_throw(2); return 0; }
SEC("?socket") int filter(struct __sk_buff *ctx) { bpf_throw(2); return 0; }
SEC("?kprobe") int probe(struct pt_regs *ctx) { bpf_throw(2); return 0; }
SEC("?iter/task") int walks(struct bpf_iter__task *ctx) { bpf_throw(1); return 0; }
SEC("?iter/task") int walks_bad(struct bpf_iter__task *ctx) { bpf_throw(2); return 0; }

/* tags that are wrong */
CATCH(catch_static) T(tag_static) { bpf_throw(0); return catch_static(ctx->len); }
CATCH(catch_plain) CATCH(catch_wide) T(tag_two) { bpf_throw(0); return 0; }

/* code after it, and loops */
T(dead_after) { bpf_throw(0); *(volatile int *)0 = 1; return 0; }
T(throws_or_not) { if (ctx->len > 100) bpf_throw(9); return ctx->len; }
T(twice) { if (ctx->len > 100) bpf_throw(9); if (ctx->mark) bpf_throw(8); return 0; }
static __noinline u64 gets(struct __sk_buff *skb) { if (!skb->len) bpf_throw(1); return skb->len; }
T(with_context) { return gets(ctx) + gets(ctx); }
