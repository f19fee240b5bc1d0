/* SPDX-License-Identifier: Apache-2.0 */
/* Allocated objects in map values: stored, taken, read and counted. */
#include "common.h"

struct obj {
	long a;
	struct bpf_refcount ref;
	struct bpf_list_node l;
};

struct small {
	long a, b;
};

struct mv {
	struct obj __attribute__((btf_type_tag("kptr"))) *o;
	struct small __attribute__((btf_type_tag("kptr"))) *s;
	struct small __attribute__((btf_type_tag("percpu_kptr"))) *p;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct mv);
} m SEC(".maps");

private(A) struct bpf_spin_lock la HIDDEN;
private(A) struct bpf_list_head ha __contains(obj, l) HIDDEN;
int sum;
#define M struct mv *v; int k = 0; v = bpf_map_lookup_elem(&m, &k); if (!v) return 0;

T(st) {
	M struct small *s = obj_new(struct small);
	if (!s) return 0;
	s = bpf_kptr_xchg(&v->s, s);
	if (s) drop(s);
	return 0;
}

T(st_leak) {
	M struct small *s = obj_new(struct small);
	if (!s) return 0;
	s = bpf_kptr_xchg(&v->s, s);
	return 0;
}

T(st_wrong) {
	M struct small *s = obj_new(struct small);
	if (!s) return 0;
	s = bpf_kptr_xchg(&v->o, s);
	if (s) drop(s);
	return 0;
}

T(take) {
	M struct small *s = bpf_kptr_xchg(&v->s, 0);
	if (s) {
		s->a = 1;
		drop(s);
	}
	return 0;
}

T(rd) {
	M struct small *s = v->s;
	if (s) sum = s->a;
	return 0;
}

T(rd_nochk) {
	M struct small *s = v->s;
	sum = s->a;
	return 0;
}

T(wr) {
	M struct small *s = v->s;
	if (s) s->a = 2;
	return 0;
}

T(rd_drop) {
	M struct small *s = v->s;
	if (s) drop(s);
	return 0;
}

T(rd_oob) {
	M struct small *s = v->s;
	if (s) sum = *(long *)((void *)s + 16);
	return 0;
}

S(s_rd) {
	M struct small *s = v->s;
	if (s) sum = s->a;
	return 0;
}

S(s_wr) {
	M struct small *s = v->s;
	if (s) s->a = 2;
	return 0;
}

S(s_rcu_rd) {
	M bpf_rcu_read_lock();
	struct small *s = v->s;
	if (s) sum = s->a;
	bpf_rcu_read_unlock();
	return 0;
}

S(s_rcu_rd_after) {
	M bpf_rcu_read_lock();
	struct small *s = v->s;
	bpf_rcu_read_unlock();
	if (s) sum = s->a;
	return 0;
}

S(s_rcu_rd_after2) {
	M bpf_rcu_read_lock();
	struct small *s = v->s;
	if (!s) {
		bpf_rcu_read_unlock();
		return 0;
	}
	bpf_rcu_read_unlock();
	sum = s->a;
	return 0;
}

S(s_rcu_wr_after2) {
	M bpf_rcu_read_lock();
	struct small *s = v->s;
	if (!s) {
		bpf_rcu_read_unlock();
		return 0;
	}
	bpf_rcu_read_unlock();
	s->a = 1;
	return 0;
}

T(ref) {
	M struct obj *o = v->o;
	if (!o) return 0;
	o = refget(o);
	if (o) drop(o);
	return 0;
}

T(ref_nochk) {
	M struct obj *o = v->o;
	o = refget(o);
	if (o) drop(o);
	return 0;
}

T(ref_nonull) {
	M struct obj *o = v->o;
	if (!o) return 0;
	o = refget(o);
	drop(o);
	return 0;
}

S(s_ref) {
	M struct obj *o = v->o;
	if (!o) return 0;
	o = refget(o);
	if (o) drop(o);
	return 0;
}

S(s_rcu_ref) {
	M bpf_rcu_read_lock();
	struct obj *o = v->o;
	if (!o) {
		bpf_rcu_read_unlock();
		return 0;
	}
	o = refget(o);
	bpf_rcu_read_unlock();
	if (o) drop(o);
	return 0;
}

S(s_rcu_ref_after) {
	M bpf_rcu_read_lock();
	struct obj *o = v->o;
	if (!o) {
		bpf_rcu_read_unlock();
		return 0;
	}
	bpf_rcu_read_unlock();
	o = refget(o);
	if (o) drop(o);
	return 0;
}

T(ref_small) {
	M struct small *s = v->s;
	if (!s) return 0;
	s = refget(s);
	if (s) drop(s);
	return 0;
}

T(push_rcu) {
	M struct obj *o = v->o;
	if (!o) return 0;
	bpf_spin_lock(&la);
	push(&ha, &o->l);
	bpf_spin_unlock(&la);
	return 0;
}

T(take_push) {
	M struct obj *o = bpf_kptr_xchg(&v->o, 0);
	if (!o) return 0;
	bpf_spin_lock(&la);
	push(&ha, &o->l);
	bpf_spin_unlock(&la);
	return 0;
}

T(xchg_after) {
	M struct small *s = obj_new(struct small);
	if (!s) return 0;
	struct small *t = bpf_kptr_xchg(&v->s, s);
	if (t) drop(t);
	sum = s->a;
	return 0;
}

T(pc) {
	M struct small *s = percpu_new(struct small);
	if (!s) return 0;
	s = bpf_kptr_xchg(&v->p, s);
	if (s) bpf_percpu_obj_drop_impl(s, 0);
	return 0;
}

T(pc_wrong) {
	M struct small *s = percpu_new(struct small);
	if (!s) return 0;
	s = bpf_kptr_xchg(&v->s, s);
	if (s) drop(s);
	return 0;
}

T(pc_wrong2) {
	M struct small *s = obj_new(struct small);
	if (!s) return 0;
	s = bpf_kptr_xchg(&v->p, s);
	if (s) drop(s);
	return 0;
}

T(pc_rd) {
	M struct small *s = v->p;
	if (!s) return 0;
	struct small *t = bpf_this_cpu_ptr(s);
	sum = t->a;
	return 0;
}

T(pc_rd2) {
	M struct small *s = v->p;
	if (!s) return 0;
	struct small *t = bpf_per_cpu_ptr(s, 0);
	if (t) t->a = 4;
	return 0;
}

T(pc_rd_direct) {
	M struct small *s = v->p;
	if (!s) return 0;
	sum = s->a;
	return 0;
}

T(lock_xchg) {
	M bpf_spin_lock(&la);
	struct small *s = bpf_kptr_xchg(&v->s, 0);
	bpf_spin_unlock(&la);
	if (s) drop(s);
	return 0;
}

T(kfield) {
	struct obj *o = obj_new(struct obj);
	if (!o) return 0;
	o->ref.__opaque[0] = 1;
	drop(o);
	return 0;
}

