/* SPDX-License-Identifier: Apache-2.0 */
/* Locks, sections, references, iterators, dynptrs: right, and broken in one way each. */
#include "common.h"

struct rv {
	struct bpf_res_spin_lock lock;
	int x;
};

struct rv2 {
	int x;
	struct bpf_res_spin_lock lock;
};

struct wqv {
	int a;
	struct bpf_wq w;
};

struct nowq {
	int a;
	int b;
};

struct kp {
	struct task_struct __attribute__((btf_type_tag("kptr"))) *t;
	struct bpf_cpumask __attribute__((btf_type_tag("kptr"))) *m;
	struct task_struct __attribute__((btf_type_tag("kptr_untrusted"))) *u;
	struct cgroup __attribute__((btf_type_tag("kptr"))) *c;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, int);
	__type(value, struct rv);
} rl SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, int);
	__type(value, struct rv2);
} rl2 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, int);
	__type(value, struct wqv);
} wqm SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, int);
	__type(value, struct wqv);
} wqh SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, int);
	__type(value, struct nowq);
} plain SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct kp);
} kps SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} rb SEC(".maps");

int arr[16];
int sum;
unsigned long flags_global;
u64 blob[8];

#define R struct rv *v; int k = 0; v = bpf_map_lookup_elem(&rl, &k); if (!v) return 0;
#define R2 \
	struct rv *v, *w; \
	int k = 0, m = 1; \
	v = bpf_map_lookup_elem(&rl, &k); \
	w = bpf_map_lookup_elem(&rl, &m); \
	if (!v || !w) \
		return 0;

T(res1) {
	R if (bpf_res_spin_lock(&v->lock)) return 1;
	v->x++;
	bpf_res_spin_unlock(&v->lock);
	return 0;
}

T(res_nocheck) {
	R bpf_res_spin_lock(&v->lock);
	v->x++;
	bpf_res_spin_unlock(&v->lock);
	return 0;
}

T(res_leak) {
	R if (bpf_res_spin_lock(&v->lock)) return 1;
	v->x++;
	return 0;
}

T(res_unlock_only) {
	R bpf_res_spin_unlock(&v->lock);
	return 0;
}

T(res_aa) {
	R if (bpf_res_spin_lock(&v->lock)) return 1;
	if (bpf_res_spin_lock(&v->lock)) {
		bpf_res_spin_unlock(&v->lock);
		return 1;
	}
	bpf_res_spin_unlock(&v->lock);
	bpf_res_spin_unlock(&v->lock);
	return 0;
}

T(res_two) {
	R2 if (bpf_res_spin_lock(&v->lock)) return 1;
	if (bpf_res_spin_lock(&w->lock)) {
		bpf_res_spin_unlock(&v->lock);
		return 1;
	}
	bpf_res_spin_unlock(&w->lock);
	bpf_res_spin_unlock(&v->lock);
	return 0;
}

T(res_order) {
	R2 if (bpf_res_spin_lock(&v->lock)) return 1;
	if (bpf_res_spin_lock(&w->lock)) {
		bpf_res_spin_unlock(&v->lock);
		return 1;
	}
	bpf_res_spin_unlock(&v->lock);
	bpf_res_spin_unlock(&w->lock);
	return 0;
}

T(res_other) {
	R2 if (bpf_res_spin_lock(&v->lock)) return 1;
	bpf_res_spin_unlock(&w->lock);
	return 0;
}

T(res_irq) {
	R unsigned long f;
	if (bpf_res_spin_lock_irqsave(&v->lock, &f)) return 1;
	bpf_res_spin_unlock_irqrestore(&v->lock, &f);
	return 0;
}

T(res_irq_mix) {
	R unsigned long f;
	if (bpf_res_spin_lock_irqsave(&v->lock, &f)) return 1;
	bpf_res_spin_unlock(&v->lock);
	bpf_local_irq_restore(&f);
	return 0;
}

T(res_irq_mix2) {
	R unsigned long f;
	bpf_local_irq_save(&f);
	if (bpf_res_spin_lock(&v->lock)) {
		bpf_local_irq_restore(&f);
		return 1;
	}
	bpf_res_spin_unlock_irqrestore(&v->lock, &f);
	return 0;
}

T(res_in_irq) {
	R unsigned long f;
	bpf_local_irq_save(&f);
	if (bpf_res_spin_lock(&v->lock)) {
		bpf_local_irq_restore(&f);
		return 1;
	}
	bpf_res_spin_unlock(&v->lock);
	bpf_local_irq_restore(&f);
	return 0;
}

T(res_helper) {
	R if (bpf_res_spin_lock(&v->lock)) return 1;
	bpf_get_prandom_u32();
	bpf_res_spin_unlock(&v->lock);
	return 0;
}

T(res_wrongoff) {
	R if (bpf_res_spin_lock((void *)&v->x)) return 1;
	bpf_res_spin_unlock((void *)&v->x);
	return 0;
}

T(res_off) {
	struct rv2 *v;
	int k = 0;
	v = bpf_map_lookup_elem(&rl2, &k);
	if (!v) return 0;
	if (bpf_res_spin_lock(&v->lock)) return 1;
	bpf_res_spin_unlock(&v->lock);
	return 0;
}

T(res_plain_lock) {
	R bpf_spin_lock((void *)&v->lock);
	bpf_spin_unlock((void *)&v->lock);
	return 0;
}

T(res_stack) {
	struct bpf_res_spin_lock l = {};
	if (bpf_res_spin_lock(&l)) return 1;
	bpf_res_spin_unlock(&l);
	return 0;
}

T(res_irq_global) {
	R if (bpf_res_spin_lock_irqsave(&v->lock, &flags_global)) return 1;
	bpf_res_spin_unlock_irqrestore(&v->lock, &flags_global);
	return 0;
}

T(res_touch) {
	R *(int *)&v->lock = 1;
	return 0;
}

T(res_nullv) {
	struct rv *v;
	int k = 0;
	v = bpf_map_lookup_elem(&rl, &k);
	if (bpf_res_spin_lock(&v->lock)) return 1;
	bpf_res_spin_unlock(&v->lock);
	return 0;
}

static int wcb(void *map, int *key, void *val) {
	struct wqv *v = val;
	v->a = *key;
	return 0;
}

static int wcb_sleep(void *map, int *key, void *val) {
	char b[8];
	bpf_copy_from_user(b, 8, 0);
	return 0;
}

static int wcb_one(void *map, int *key, void *val) {
	return 1;
}

static int wcb_leak(void *map, int *key, void *val) {
	bpf_task_from_pid(1);
	return 0;
}

#define W struct wqv *v; int k = 0; v = bpf_map_lookup_elem(&wqm, &k); if (!v) return 0;

T(wq1) {
	W bpf_wq_init(&v->w, &wqm, 0);
	bpf_wq_set_callback_impl(&v->w, wcb, 0, 0);
	bpf_wq_start(&v->w, 0);
	return 0;
}

T(wq_sleep) {
	W bpf_wq_init(&v->w, &wqm, 0);
	bpf_wq_set_callback_impl(&v->w, wcb_sleep, 0, 0);
	bpf_wq_start(&v->w, 0);
	return 0;
}

T(wq_one) {
	W bpf_wq_init(&v->w, &wqm, 0);
	bpf_wq_set_callback_impl(&v->w, wcb_one, 0, 0);
	return 0;
}

T(wq_leak) {
	W bpf_wq_init(&v->w, &wqm, 0);
	bpf_wq_set_callback_impl(&v->w, wcb_leak, 0, 0);
	return 0;
}

T(wq_wrongmap) {
	W bpf_wq_init(&v->w, &wqh, 0);
	return 0;
}

T(wq_off) {
	W bpf_wq_init((void *)&v->a, &wqm, 0);
	return 0;
}

T(wq_stack) {
	struct bpf_wq w;
	bpf_wq_start(&w, 0);
	return 0;
}

T(wq_plain) {
	int k = 0;
	struct nowq *v = bpf_map_lookup_elem(&plain, &k);
	if (v) bpf_wq_start((void *)v, 0);
	return 0;
}

T(wq_flagsptr) {
	W bpf_wq_start(&v->w, (unsigned long)ctx);
	return 0;
}

T(wq_cbnull) {
	W bpf_wq_set_callback_impl(&v->w, 0, 0, 0);
	return 0;
}

T(wq_nullv) {
	struct wqv *v;
	int k = 0;
	v = bpf_map_lookup_elem(&wqm, &k);
	bpf_wq_start(&v->w, 0);
	return 0;
}

#define KP struct kp *v; int k = 0; v = bpf_map_lookup_elem(&kps, &k); if (!v) return 0;

P(kp_store) {
	KP struct task_struct *t = bpf_task_acquire(task);
	if (!t) return 0;
	t = bpf_kptr_xchg(&v->t, t);
	if (t) bpf_task_release(t);
	return 0;
}

P(kp_store_leak) {
	KP struct task_struct *t = bpf_task_acquire(task);
	if (!t) return 0;
	t = bpf_kptr_xchg(&v->t, t);
	return 0;
}

P(kp_store_trusted) {
	KP struct task_struct *t = bpf_kptr_xchg(&v->t, task);
	if (t) bpf_task_release(t);
	return 0;
}

P(kp_read) {
	KP struct task_struct *t = v->t;
	if (!t) return 0;
	return t->pid;
}

P(kp_read_acq) {
	KP struct task_struct *t = v->t;
	if (!t) return 0;
	t = bpf_task_acquire(t);
	if (t) bpf_task_release(t);
	return 0;
}

P(kp_read_acq_nocheck) {
	KP struct task_struct *t = v->t;
	t = bpf_task_acquire(t);
	if (t) bpf_task_release(t);
	return 0;
}

S(kp_s_read_acq) {
	KP struct task_struct *t = v->t;
	if (!t) return 0;
	t = bpf_task_acquire(t);
	if (t) bpf_task_release(t);
	return 0;
}

S(kp_s_rcu_read_acq) {
	KP bpf_rcu_read_lock();
	struct task_struct *t = v->t;
	if (!t) {
		bpf_rcu_read_unlock();
		return 0;
	}
	t = bpf_task_acquire(t);
	bpf_rcu_read_unlock();
	if (t) bpf_task_release(t);
	return 0;
}

S(kp_s_rcu_out) {
	KP bpf_rcu_read_lock();
	struct task_struct *t = v->t;
	bpf_rcu_read_unlock();
	if (!t) return 0;
	t = bpf_task_acquire(t);
	if (t) bpf_task_release(t);
	return 0;
}

S(kp_s_rcu_out_read) {
	KP bpf_rcu_read_lock();
	struct task_struct *t = v->t;
	bpf_rcu_read_unlock();
	if (!t) return 0;
	return t->pid;
}

S(kp_s_rcu_branch) {
	KP if (k) bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	return 0;
}

P(kp_u) {
	KP struct task_struct *t = v->u;
	if (!t) return 0;
	return t->pid;
}

P(kp_u_acq) {
	KP struct task_struct *t = v->u;
	if (!t) return 0;
	t = bpf_task_acquire(t);
	if (t) bpf_task_release(t);
	return 0;
}

P(kp_mask) {
	KP struct bpf_cpumask *m = bpf_cpumask_create();
	if (!m) return 0;
	bpf_cpumask_set_cpu(1, m);
	m = bpf_kptr_xchg(&v->m, m);
	if (m) bpf_cpumask_release(m);
	return 0;
}

P(kp_mask_test) {
	KP struct bpf_cpumask *m = v->m;
	if (!m) return 0;
	return bpf_cpumask_test_cpu(1, (const struct cpumask *)m);
}

P(kp_mask_set) {
	KP struct bpf_cpumask *m = v->m;
	if (!m) return 0;
	bpf_cpumask_set_cpu(1, m);
	return 0;
}

P(kp_mask_rel) {
	KP struct bpf_cpumask *m = v->m;
	if (!m) return 0;
	bpf_cpumask_release(m);
	return 0;
}

P(kp_mask_task) {
	KP struct bpf_cpumask *m = v->m;
	if (!m) return 0;
	bpf_cpumask_and(m, task->cpus_ptr, (const struct cpumask *)m);
	return 0;
}

P(mask_const) {
	bpf_cpumask_set_cpu(1, (struct bpf_cpumask *)task->cpus_ptr);
	return 0;
}

P(mask_two) {
	struct bpf_cpumask *a = bpf_cpumask_create(), *b = bpf_cpumask_create();
	if (a && b) bpf_cpumask_and(a, (void *)a, (void *)b);
	if (a) bpf_cpumask_release(a);
	if (b) bpf_cpumask_release(b);
	return 0;
}

P(mask_two_leak) {
	struct bpf_cpumask *a = bpf_cpumask_create(), *b = bpf_cpumask_create();
	if (!a || !b) return 0;
	bpf_cpumask_release(a);
	bpf_cpumask_release(b);
	return 0;
}

P(task_acq) {
	struct task_struct *t = bpf_task_acquire(task);
	if (t) bpf_task_release(t);
	return 0;
}

P(task_rel) {
	bpf_task_release(task);
	return 0;
}

P(task_leader) {
	struct task_struct *t = bpf_task_acquire(task->group_leader);
	if (t) bpf_task_release(t);
	return 0;
}

P(task_parent) {
	struct task_struct *t = bpf_task_acquire(task->real_parent);
	if (t) bpf_task_release(t);
	return 0;
}

P(task_walk) {
	struct task_struct *t = bpf_task_acquire(task->last_wakee);
	if (t) bpf_task_release(t);
	return 0;
}

P(task_moved) {
	struct task_struct *t = bpf_task_acquire((void *)task + 8);
	if (t) bpf_task_release(t);
	return 0;
}

P(task_cgrp) {
	struct cgroup *c = bpf_cgroup_acquire(task->cgroups->dfl_cgrp);
	if (c) bpf_cgroup_release(c);
	return 0;
}

P(task_flags) {
	struct task_struct *t = bpf_task_acquire((void *)flags);
	if (t) bpf_task_release(t);
	return 0;
}

P(task_untrusted) {
	struct task_struct *t = bpf_rdonly_cast(task, bpf_core_type_id_kernel(struct task_struct));
	t = bpf_task_acquire(t);
	if (t) bpf_task_release(t);
	return 0;
}

P(task_loop) {
	for (int i = 0; i < 8; i++) {
		struct task_struct *t = bpf_task_from_pid(i);
		if (t) bpf_task_release(t);
	}
	return 0;
}

P(task_arr) {
	struct task_struct *a[3] = {};
	for (int i = 0; i < 3; i++) a[i] = bpf_task_from_pid(i);
	for (int i = 0; i < 3; i++) if (a[i]) bpf_task_release(a[i]);
	return 0;
}

static __noinline int rel(struct task_struct *t) {
	bpf_task_release(t);
	return 0;
}

P(task_sub) {
	struct task_struct *t = bpf_task_from_pid(1);
	if (t) rel(t);
	return 0;
}

static __noinline struct task_struct *get(int p) {
	return bpf_task_from_pid(p);
}

P(task_sub_get) {
	struct task_struct *t = get(1);
	if (t) bpf_task_release(t);
	return 0;
}

P(task_sub_get_leak) {
	struct task_struct *t = get(1);
	return 0;
}

T(for1) {
	int i, s = 0;
	bpf_for(i, 0, 100) s += i;
	return s;
}

T(for_arr) {
	int i;
	bpf_for(i, 0, 16) sum += arr[i];
	return 0;
}

T(for_arr_oob) {
	int i;
	bpf_for(i, 0, 17) sum += arr[i];
	return 0;
}

T(for_var) {
	int i, n = ctx->len;
	bpf_for(i, 0, n) if (i < 16) sum += arr[i];
	return 0;
}

T(for_var_oob) {
	int i, n = ctx->len;
	bpf_for(i, 0, n) sum += arr[i & 31];
	return 0;
}

T(for_nest) {
	int i, j;
	bpf_for(i, 0, 10) bpf_for(j, 0, 10) sum += i * j;
	return 0;
}

T(for_nest3) {
	int i, j, l;
	bpf_for(i, 0, 10) bpf_for(j, 0, 10) bpf_for(l, 0, 10) sum += arr[(i + j + l) & 15];
	return 0;
}

T(for_break) {
	int i;
	bpf_for(i, 0, 1000) {
		if (arr[i & 15] == 7) break;
		sum++;
	}
	return 0;
}

T(for_cont) {
	int i;
	bpf_for(i, 0, 1000) {
		if (arr[i & 15] == 7) continue;
		sum++;
	}
	return 0;
}

T(rep) {
	bpf_repeat(1000) {
		sum++;
	}
	return 0;
}

T(rep_idx) {
	int i = 0;
	bpf_repeat(1000) {
		if (i >= 16) break;
		arr[i] = i;
		i++;
	}
	return 0;
}

T(rep_idx_bad) {
	int i = 0;
	bpf_repeat(1000) {
		arr[i] = i;
		i++;
		if (i > 16) break;
	}
	return 0;
}

T(rep_sum) {
	int i = 0, s = 0;
	bpf_repeat(1000) {
		if (i >= 16) i = 0;
		s += arr[i++];
	}
	return s;
}

T(for_pkt) {
	int i;
	bpf_for(i, 0, 64) {
		void *d = (void *)(long)ctx->data, *e = (void *)(long)ctx->data_end;
		if (d + i + 1 > e) break;
		sum += *(u8 *)(d + i);
	}
	return 0;
}

T(for_buf) {
	char b[32];
	int i;
	bpf_for(i, 0, 32) b[i] = i;
	return bpf_skb_load_bytes(ctx, 0, b, 32);
}

T(for_map) {
	int i;
	bpf_for(i, 0, 4) {
		int k = i;
		struct nowq *v = bpf_map_lookup_elem(&plain, &k);
		if (v) v->a++;
	}
	return 0;
}

T(for_ref) {
	int i;
	bpf_for(i, 0, 4) {
		struct task_struct *t = bpf_task_from_pid(i);
		if (t) bpf_task_release(t);
	}
	return 0;
}

T(for_ref_leak) {
	int i;
	bpf_for(i, 0, 4) {
		struct task_struct *t = bpf_task_from_pid(i);
		if (t && i) bpf_task_release(t);
	}
	return 0;
}

T(for_ref_hold) {
	int i;
	struct task_struct *t = bpf_task_from_pid(1);
	bpf_for(i, 0, 4) sum++;
	if (t) bpf_task_release(t);
	return 0;
}

T(for_lock) {
	int i;
	bpf_for(i, 0, 4) {
		R if (bpf_res_spin_lock(&v->lock)) continue;
		v->x++;
		bpf_res_spin_unlock(&v->lock);
	}
	return 0;
}

T(for_preempt) {
	int i;
	bpf_for(i, 0, 4) {
		bpf_preempt_disable();
		sum++;
		bpf_preempt_enable();
	}
	return 0;
}

T(for_preempt_leak) {
	int i;
	bpf_for(i, 0, 4) {
		bpf_preempt_disable();
		sum++;
	}
	return 0;
}

T(while_num) {
	struct bpf_iter_num it;
	int *p, s = 0;
	bpf_iter_num_new(&it, 0, 5);
	while ((p = bpf_iter_num_next(&it))) {
		s += *p;
	}
	bpf_iter_num_destroy(&it);
	return s;
}

static __noinline int step(struct bpf_iter_num *it) {
	int *p = bpf_iter_num_next(it);
	return p ? *p : -1;
}

T(num_sub) {
	struct bpf_iter_num it;
	int s = 0;
	bpf_iter_num_new(&it, 0, 5);
	while (step(&it) >= 0) s++;
	bpf_iter_num_destroy(&it);
	return s;
}

static __noinline int inner(int n) {
	int i, s = 0;
	bpf_for(i, 0, n) s += i;
	return s;
}

T(num_inner) {
	int i, s = 0;
	bpf_for(i, 0, 10) s += inner(i);
	return s;
}

P(iter_task) {
	struct bpf_iter_task it;
	struct task_struct *t;
	bpf_iter_task_new(&it, 0, 0);
	while ((t = bpf_iter_task_next(&it))) sum += t->pid;
	bpf_iter_task_destroy(&it);
	return 0;
}

P(iter_task_acq) {
	struct bpf_iter_task it;
	struct task_struct *t;
	bpf_iter_task_new(&it, 0, 0);
	while ((t = bpf_iter_task_next(&it))) {
		t = bpf_task_acquire(t);
		if (t) bpf_task_release(t);
	}
	bpf_iter_task_destroy(&it);
	return 0;
}

P(iter_task_rel) {
	struct bpf_iter_task it;
	struct task_struct *t;
	bpf_iter_task_new(&it, 0, 0);
	while ((t = bpf_iter_task_next(&it))) bpf_task_release(t);
	bpf_iter_task_destroy(&it);
	return 0;
}

P(iter_task_thr) {
	struct bpf_iter_task it;
	struct task_struct *t;
	bpf_iter_task_new(&it, task, 1);
	while ((t = bpf_iter_task_next(&it))) sum += t->pid;
	bpf_iter_task_destroy(&it);
	return 0;
}

S(iter_s_task) {
	struct bpf_iter_task it;
	struct task_struct *t;
	bpf_rcu_read_lock();
	bpf_iter_task_new(&it, 0, 0);
	while ((t = bpf_iter_task_next(&it))) sum += t->pid;
	bpf_iter_task_destroy(&it);
	bpf_rcu_read_unlock();
	return 0;
}

S(iter_s_task_unlock) {
	struct bpf_iter_task it;
	struct task_struct *t;
	bpf_rcu_read_lock();
	bpf_iter_task_new(&it, 0, 0);
	while ((t = bpf_iter_task_next(&it))) {
		bpf_rcu_read_unlock();
		sum += t->pid;
		bpf_rcu_read_lock();
	}
	bpf_iter_task_destroy(&it);
	bpf_rcu_read_unlock();
	return 0;
}

T(dyn1) {
	struct bpf_dynptr d;
	char b[14];
	bpf_dynptr_from_skb(ctx, 0, &d);
	struct ethhdr *e = bpf_dynptr_slice(&d, 0, b, sizeof(*e));
	if (!e) return 0;
	return e->h_proto;
}

T(dyn_rdwr) {
	struct bpf_dynptr d;
	char b[14];
	bpf_dynptr_from_skb(ctx, 0, &d);
	struct ethhdr *e = bpf_dynptr_slice_rdwr(&d, 0, b, sizeof(*e));
	if (!e) return 0;
	e->h_proto = 0;
	if (e == (void *)b) bpf_dynptr_write(&d, 0, b, sizeof(b), 0);
	return 0;
}

T(dyn_write_use) {
	struct bpf_dynptr d;
	char b[14];
	bpf_dynptr_from_skb(ctx, 0, &d);
	struct ethhdr *e = bpf_dynptr_slice_rdwr(&d, 0, b, sizeof(*e));
	if (!e) return 0;
	bpf_dynptr_write(&d, 0, b, sizeof(b), 0);
	e->h_proto = 0;
	return 0;
}

T(dyn_ring) {
	struct bpf_dynptr d;
	bpf_ringbuf_reserve_dynptr(&rb, 32, 0, &d);
	u64 *p = bpf_dynptr_slice_rdwr(&d, 0, 0, 8);
	if (p) *p = 1;
	bpf_ringbuf_submit_dynptr(&d, 0);
	return 0;
}

T(dyn_ring_after) {
	struct bpf_dynptr d;
	bpf_ringbuf_reserve_dynptr(&rb, 32, 0, &d);
	u64 *p = bpf_dynptr_slice_rdwr(&d, 0, 0, 8);
	bpf_ringbuf_submit_dynptr(&d, 0);
	if (p) *p = 1;
	return 0;
}

T(dyn_ring_clone) {
	struct bpf_dynptr d, e;
	bpf_ringbuf_reserve_dynptr(&rb, 32, 0, &d);
	bpf_dynptr_clone(&d, &e);
	bpf_ringbuf_submit_dynptr(&e, 0);
	return 0;
}

T(dyn_ring_clone_use) {
	struct bpf_dynptr d, e;
	bpf_ringbuf_reserve_dynptr(&rb, 32, 0, &d);
	bpf_dynptr_clone(&d, &e);
	bpf_ringbuf_submit_dynptr(&e, 0);
	return bpf_dynptr_size(&d);
}

T(dyn_ring_clone_leak) {
	struct bpf_dynptr d, e;
	bpf_ringbuf_reserve_dynptr(&rb, 32, 0, &d);
	bpf_dynptr_clone(&d, &e);
	return 0;
}

T(dyn_ring_clone_twice) {
	struct bpf_dynptr d, e;
	bpf_ringbuf_reserve_dynptr(&rb, 32, 0, &d);
	bpf_dynptr_clone(&d, &e);
	bpf_ringbuf_submit_dynptr(&e, 0);
	bpf_ringbuf_submit_dynptr(&d, 0);
	return 0;
}

T(dyn_local) {
	struct bpf_dynptr d;
	bpf_dynptr_from_mem(blob, sizeof(blob), 0, &d);
	u64 *p = bpf_dynptr_slice_rdwr(&d, 0, 0, 8);
	if (p) *p = 1;
	return bpf_dynptr_size(&d);
}

T(dyn_copy) {
	struct bpf_dynptr d, e;
	bpf_dynptr_from_mem(blob, sizeof(blob), 0, &d);
	bpf_dynptr_from_skb(ctx, 0, &e);
	return bpf_dynptr_copy(&d, 0, &e, 0, 8);
}

static __noinline int use(struct bpf_dynptr *d) {
	u64 *p = bpf_dynptr_slice(d, 0, 0, 8);
	return p ? *p : 0;
}

T(dyn_slice_sub) {
	struct bpf_dynptr d;
	bpf_dynptr_from_skb(ctx, 0, &d);
	return use(&d);
}

T(dyn_loop) {
	struct bpf_dynptr d;
	int i;
	char b[4];
	bpf_dynptr_from_skb(ctx, 0, &d);
	bpf_for(i, 0, 32) {
		u32 *p = bpf_dynptr_slice(&d, i * 4, b, 4);
		if (!p) break;
		sum += *p;
	}
	return 0;
}

SEC("?cgroup_skb/egress") int dyn_cg(struct __sk_buff *ctx) {
	struct bpf_dynptr d;
	char b[4];
	bpf_dynptr_from_skb(ctx, 0, &d);
	u32 *p = bpf_dynptr_slice_rdwr(&d, 0, b, 4);
	if (p) *p = 1;
	return 1;
}

SEC("?cgroup_skb/egress") int dyn_cg_ro(struct __sk_buff *ctx) {
	struct bpf_dynptr d;
	char b[4];
	bpf_dynptr_from_skb(ctx, 0, &d);
	u32 *p = bpf_dynptr_slice(&d, 0, b, 4);
	if (p) return *p & 1;
	return 1;
}

SEC("?tp_btf/kfree_skb") int BPF_PROG(dyn_tp, struct sk_buff *skb) {
	struct bpf_dynptr d;
	char b[4];
	bpf_dynptr_from_skb((void *)skb, 0, &d);
	u32 *p = bpf_dynptr_slice(&d, 0, b, 4);
	if (p) sum = *p;
	return 0;
}

SEC("?tp_btf/kfree_skb") int BPF_PROG(dyn_tp_w, struct sk_buff *skb) {
	struct bpf_dynptr d;
	char b[4];
	bpf_dynptr_from_skb((void *)skb, 0, &d);
	u32 *p = bpf_dynptr_slice_rdwr(&d, 0, b, 4);
	if (p) *p = 1;
	return 0;
}

T(cast) {
	struct sk_buff *s = bpf_cast_to_kern_ctx(ctx);
	return s->len;
}

T(cast_dev) {
	struct sk_buff *s = bpf_cast_to_kern_ctx(ctx);
	return s->dev->ifindex;
}

T(cast_shinfo) {
	struct sk_buff *s = bpf_cast_to_kern_ctx(ctx);
	struct skb_shared_info *i = bpf_rdonly_cast(s->head + s->end,
		bpf_core_type_id_kernel(struct skb_shared_info));
	return i->nr_frags;
}

T(cast_write) {
	struct sk_buff *s = bpf_cast_to_kern_ctx(ctx);
	s->len = 1;
	return 0;
}

SEC("?xdp") int cast_xdp(struct xdp_md *ctx) {
	struct xdp_buff *s = bpf_cast_to_kern_ctx(ctx);
	return s->frame_sz & 1;
}

SEC("?cgroup/connect4") int cast_sa(struct bpf_sock_addr *ctx) {
	struct bpf_sock_addr_kern *s = bpf_cast_to_kern_ctx(ctx);
	return s->sk != 0;
}

SEC("?iter/bpf_map") int mapiter(struct bpf_iter__bpf_map *ctx) {
	struct bpf_map *m = ctx->map;
	if (!m) return 0;
	sum += bpf_map_sum_elem_count(m);
	return 0;
}

SEC("?iter/bpf_map") int mapiter_nocheck(struct bpf_iter__bpf_map *ctx) {
	struct bpf_map *m = ctx->map;
	sum += bpf_map_sum_elem_count(m);
	return 0;
}

SEC("?iter/task") int iter_task_it(struct bpf_iter__task *ctx) {
	struct task_struct *t = ctx->task;
	if (!t) return 0;
	t = bpf_task_acquire(t);
	if (t) bpf_task_release(t);
	return 0;
}

SEC("?iter.s/task") int iter_task_its(struct bpf_iter__task *ctx) {
	struct task_struct *t = ctx->task;
	if (!t) return 0;
	t = bpf_task_acquire(t);
	if (t) bpf_task_release(t);
	return 0;
}

S(mapsum) {
	return bpf_map_sum_elem_count((void *)&wqh);
}

S(mapsum_v) {
	int k = 0;
	void *v = bpf_map_lookup_elem(&plain, &k);
	if (!v) return 0;
	return bpf_map_sum_elem_count(v);
}

S(rcu_if) {
	int r = bpf_get_prandom_u32() & 1;
	if (r) bpf_rcu_read_lock();
	sum++;
	if (r) bpf_rcu_read_unlock();
	return 0;
}

S(preempt_if) {
	int r = bpf_get_prandom_u32() & 1;
	bpf_preempt_disable();
	if (r) {
		bpf_preempt_enable();
		return 1;
	}
	bpf_preempt_enable();
	return 0;
}

static __noinline int lockit(void) {
	bpf_rcu_read_lock();
	return 0;
}

static __noinline int unlockit(void) {
	bpf_rcu_read_unlock();
	return 0;
}

S(rcu_sub) {
	lockit();
	sum++;
	unlockit();
	return 0;
}

S(rcu_sub_leak) {
	lockit();
	sum++;
	return 0;
}

static __noinline int irqit(unsigned long *f) {
	bpf_local_irq_save(f);
	return 0;
}

S(irq_sub) {
	unsigned long f;
	irqit(&f);
	bpf_local_irq_restore(&f);
	return 0;
}

S(irq_sub_own) {
	unsigned long f;
	irqit(&f);
	return 0;
}

S(irq_sleep) {
	unsigned long f;
	char b[8];
	bpf_local_irq_save(&f);
	bpf_copy_from_user(b, 8, 0);
	bpf_local_irq_restore(&f);
	return 0;
}

S(preempt_sleep) {
	char b[8];
	bpf_preempt_disable();
	bpf_copy_from_user(b, 8, 0);
	bpf_preempt_enable();
	return 0;
}

__noinline int gsleep(int x) {
	char b[8];
	bpf_copy_from_user(b, 8, 0);
	return x;
}

__noinline int gnosleep(int x) {
	return x + 1;
}

S(rcu_gsleep) {
	bpf_rcu_read_lock();
	int r = gsleep(1);
	bpf_rcu_read_unlock();
	return 0;
}

S(rcu_gnosleep) {
	bpf_rcu_read_lock();
	int r = gnosleep(1);
	bpf_rcu_read_unlock();
	return 0;
}

S(preempt_gnosleep) {
	bpf_preempt_disable();
	int r = gnosleep(1);
	bpf_preempt_enable();
	return 0;
}

static __noinline int thrower(int x) {
	if (x) bpf_throw(1);
	return 0;
}

__noinline int gthrow(int x) {
	if (x) bpf_throw(1);
	return 0;
}

__noinline int gthrow2(int x) {
	thrower(x);
	return 0;
}

T(throw_g) {
	return gthrow(ctx->len);
}

T(throw_g2) {
	return gthrow2(ctx->len);
}

T(throw_g_ref) {
	struct task_struct *t = bpf_task_from_pid(1);
	gthrow(ctx->len);
	if (t) bpf_task_release(t);
	return 0;
}

T(throw_g_rcu) {
	bpf_rcu_read_lock();
	gthrow(ctx->len);
	bpf_rcu_read_unlock();
	return 0;
}

static int lcb(u32 i, void *c) {
	if (i == 7) bpf_throw(2);
	return 0;
}

T(throw_loop) {
	bpf_loop(10, lcb, 0, 0);
	return 0;
}

T(throw_loop_ref) {
	struct task_struct *t = bpf_task_from_pid(1);
	bpf_loop(10, lcb, 0, 0);
	if (t) bpf_task_release(t);
	return 0;
}

T(throw_iter) {
	int i;
	bpf_for(i, 0, 4) if (i == 2) bpf_throw(0);
	return 0;
}

static int lrcb(u32 i, void *c) {
	struct task_struct *t = bpf_task_from_pid(i);
	if (t) bpf_task_release(t);
	return 0;
}

static int lrcb_leak(u32 i, void *c) {
	struct task_struct *t = bpf_task_from_pid(i);
	return 0;
}

T(loop_ref) {
	bpf_loop(10, lrcb, 0, 0);
	return 0;
}

T(loop_ref_leak) {
	bpf_loop(10, lrcb_leak, 0, 0);
	return 0;
}

static int lucb(u32 i, void *c) {
	bpf_rcu_read_unlock();
	return 0;
}

S(loop_unlock) {
	bpf_rcu_read_lock();
	bpf_loop(1, lucb, 0, 0);
	return 0;
}

