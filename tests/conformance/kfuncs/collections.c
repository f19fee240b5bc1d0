/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of the program, lists and trees: right, and broken in one way each. */
#include "common.h"

struct knode {
	long data;
	struct bpf_list_node l;
};

struct mytree {
	long data;
	struct bpf_rb_node r;
};

struct krnode {
	long data;
	struct bpf_refcount ref;
	struct bpf_list_node l;
	struct bpf_rb_node r;
};

struct kplain {
	long a, b;
};

struct withlock {
	struct bpf_spin_lock lock;
	long a;
	struct bpf_list_head h __contains(knode, l);
};

struct withkptr {
	long a;
	struct task_struct __kptr *t;
};

struct kv {
	struct bpf_spin_lock lock;
	int pad;
	struct bpf_list_head h __contains(knode, l);
};

struct v2 {
	struct bpf_spin_lock lock;
	struct bpf_rb_root t __contains(krnode, r);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, int);
	__type(value, struct kv);
} lists SEC(".maps");

private(A) struct bpf_spin_lock la HIDDEN;
private(A) struct bpf_list_head ha __contains(knode, l) HIDDEN;
private(A) struct bpf_rb_root ra __contains(mytree, r) HIDDEN;

private(B) struct bpf_spin_lock lb HIDDEN;
private(B) struct bpf_list_head hb __contains(krnode, l) HIDDEN;
private(B) struct bpf_rb_root rb __contains(krnode, r) HIDDEN;

static bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b) {
	return container_of(a, struct mytree, r)->data < container_of(b, struct mytree, r)->data;
}

static bool rless(struct bpf_rb_node *a, const struct bpf_rb_node *b) {
	return container_of(a, struct krnode, r)->data < container_of(b, struct krnode, r)->data;
}

T(new_drop) {
	struct kplain *p = obj_new(struct kplain);
	if (!p) return 1;
	p->a = 1;
	p->b = p->a;
	drop(p);
	return 0;
}

T(new_leak) {
	struct kplain *p = obj_new(struct kplain);
	if (!p) return 1;
	p->a = 1;
	return 0;
}

T(new_nocheck) {
	struct kplain *p = obj_new(struct kplain);
	p->a = 1;
	drop(p);
	return 0;
}

T(new_nocheck_drop) {
	struct kplain *p = obj_new(struct kplain);
	drop(p);
	return 0;
}

T(drop_twice) {
	struct kplain *p = obj_new(struct kplain);
	if (!p) return 1;
	drop(p);
	drop(p);
	return 0;
}

T(drop_use) {
	struct kplain *p = obj_new(struct kplain);
	if (!p) return 1;
	drop(p);
	return p->a;
}

T(drop_moved) {
	struct kplain *p = obj_new(struct kplain);
	if (!p) return 1;
	drop(&p->b);
	return 0;
}

T(new_oob) {
	struct kplain *p = obj_new(struct kplain);
	if (!p) return 1;
	*(long *)((void *)p + 16) = 1;
	drop(p);
	return 0;
}

T(percpu_drop_wrong) {
	struct kplain *p = obj_new(struct kplain);
	if (!p) return 1;
	bpf_percpu_obj_drop_impl(p, 0);
	return 0;
}

T(percpu) {
	struct kplain *p = percpu_new(struct kplain);
	if (!p) return 1;
	bpf_percpu_obj_drop_impl(p, 0);
	return 0;
}

T(percpu_drop) {
	struct kplain *p = percpu_new(struct kplain);
	if (!p) return 1;
	drop(p);
	return 0;
}

T(percpu_node) {
	struct knode *p = percpu_new(struct knode);
	if (!p) return 1;
	bpf_percpu_obj_drop_impl(p, 0);
	return 0;
}

T(percpu_deref) {
	struct kplain *p = percpu_new(struct kplain);
	if (!p) return 1;
	p->a = 1;
	bpf_percpu_obj_drop_impl(p, 0);
	return 0;
}

T(new_kptr) {
	if (ctx->len == 77) {
		struct task_struct *q = bpf_get_current_task_btf();
		if (q->pid == 4) return 9;
	}
	struct withkptr *p = obj_new(struct withkptr);
	if (!p) return 1;
	drop(p);
	return 0;
}

T(new_kptr_read) {
	struct withkptr *p = obj_new(struct withkptr);
	if (!p) return 1;
	long x = (long)p->t;
	drop(p);
	return x;
}

T(node_touch) {
	struct knode *p = obj_new(struct knode);
	if (!p) return 1;
	*(long *)&p->l = 1;
	drop(p);
	return 0;
}

T(node_read) {
	struct knode *p = obj_new(struct knode);
	if (!p) return 1;
	long x = *(long *)&p->l;
	drop(p);
	return x;
}

T(push1) {
	struct knode *p = obj_new(struct knode);
	if (!p) return 1;
	bpf_spin_lock(&la);
	push(&ha, &p->l);
	bpf_spin_unlock(&la);
	return 0;
}

T(push_nolock) {
	struct knode *p = obj_new(struct knode);
	if (!p) return 1;
	push(&ha, &p->l);
	return 0;
}

T(push_wronglock) {
	struct knode *p = obj_new(struct knode);
	if (!p) return 1;
	bpf_spin_lock(&lb);
	push(&ha, &p->l);
	bpf_spin_unlock(&lb);
	return 0;
}

T(push_wronglist) {
	struct knode *p = obj_new(struct knode);
	if (!p) return 1;
	bpf_spin_lock(&lb);
	push(&hb, &p->l);
	bpf_spin_unlock(&lb);
	return 0;
}

T(push_wrongfield) {
	struct knode *p = obj_new(struct knode);
	if (!p) return 1;
	bpf_spin_lock(&la);
	push(&ha, (void *)&p->l + 8);
	bpf_spin_unlock(&la);
	return 0;
}

T(push_base) {
	struct knode *p = obj_new(struct knode);
	if (!p) return 1;
	bpf_spin_lock(&la);
	push(&ha, (void *)p);
	bpf_spin_unlock(&la);
	return 0;
}

T(push_twice) {
	struct knode *p = obj_new(struct knode);
	if (!p) return 1;
	bpf_spin_lock(&la);
	push(&ha, &p->l);
	push(&ha, &p->l);
	bpf_spin_unlock(&la);
	return 0;
}

T(push_use) {
	struct knode *p = obj_new(struct knode);
	if (!p) return 1;
	bpf_spin_lock(&la);
	push(&ha, &p->l);
	p->data = 2;
	bpf_spin_unlock(&la);
	return 0;
}

T(push_use_after) {
	struct knode *p = obj_new(struct knode);
	if (!p) return 1;
	bpf_spin_lock(&la);
	push(&ha, &p->l);
	bpf_spin_unlock(&la);
	return p->data;
}

T(push_drop) {
	struct knode *p = obj_new(struct knode);
	if (!p) return 1;
	bpf_spin_lock(&la);
	push(&ha, &p->l);
	bpf_spin_unlock(&la);
	drop(p);
	return 0;
}

T(push_drop_locked) {
	struct knode *p = obj_new(struct knode);
	if (!p) return 1;
	bpf_spin_lock(&la);
	push(&ha, &p->l);
	drop(p);
	bpf_spin_unlock(&la);
	return 0;
}

T(new_locked) {
	bpf_spin_lock(&la);
	struct knode *p = obj_new(struct knode);
	bpf_spin_unlock(&la);
	if (p) drop(p);
	return 0;
}

T(pop1) {
	bpf_spin_lock(&la);
	struct bpf_list_node *n = bpf_list_pop_front(&ha);
	bpf_spin_unlock(&la);
	if (!n) return 0;
	drop(container_of(n, struct knode, l));
	return 0;
}

T(pop_leak) {
	bpf_spin_lock(&la);
	struct bpf_list_node *n = bpf_list_pop_back(&ha);
	bpf_spin_unlock(&la);
	return 0;
}

T(pop_dropnode) {
	bpf_spin_lock(&la);
	struct bpf_list_node *n = bpf_list_pop_back(&ha);
	bpf_spin_unlock(&la);
	if (n) drop(n);
	return 0;
}

T(pop_nolock) {
	struct bpf_list_node *n = bpf_list_pop_front(&ha);
	if (!n) return 0;
	drop(container_of(n, struct knode, l));
	return 0;
}

T(pop_data) {
	bpf_spin_lock(&la);
	struct bpf_list_node *n = bpf_list_pop_front(&ha);
	bpf_spin_unlock(&la);
	if (!n) return 0;
	struct knode *p = container_of(n, struct knode, l);
	long x = p->data;
	drop(p);
	return x;
}

T(pop_push) {
	bpf_spin_lock(&la);
	struct bpf_list_node *n = bpf_list_pop_front(&ha);
	if (n) push_back(&ha, n);
	bpf_spin_unlock(&la);
	return 0;
}

T(front) {
	bpf_spin_lock(&la);
	struct bpf_list_node *n = bpf_list_front(&ha);
	if (n) container_of(n, struct knode, l)->data = 1;
	bpf_spin_unlock(&la);
	return 0;
}

T(front_after) {
	bpf_spin_lock(&la);
	struct bpf_list_node *n = bpf_list_front(&ha);
	bpf_spin_unlock(&la);
	if (n) container_of(n, struct knode, l)->data = 1;
	return 0;
}

T(front_drop) {
	bpf_spin_lock(&la);
	struct bpf_list_node *n = bpf_list_back(&ha);
	bpf_spin_unlock(&la);
	if (n) drop(container_of(n, struct knode, l));
	return 0;
}

T(front_nocheck) {
	bpf_spin_lock(&la);
	struct bpf_list_node *n = bpf_list_back(&ha);
	container_of(n, struct knode, l)->data = 1;
	bpf_spin_unlock(&la);
	return 0;
}

T(maplist) {
	int k = 0;
	struct kv *v = bpf_map_lookup_elem(&lists, &k);
	if (!v) return 0;
	struct knode *p = obj_new(struct knode);
	if (!p) return 1;
	bpf_spin_lock(&v->lock);
	push(&v->h, &p->l);
	bpf_spin_unlock(&v->lock);
	return 0;
}

T(maplist2) {
	int k = 0, m = 1;
	struct kv *v = bpf_map_lookup_elem(&lists, &k), *w = bpf_map_lookup_elem(&lists, &m);
	if (!v || !w) return 0;
	struct knode *p = obj_new(struct knode);
	if (!p) return 1;
	bpf_spin_lock(&v->lock);
	push(&w->h, &p->l);
	bpf_spin_unlock(&v->lock);
	return 0;
}

T(maplist_unlock2) {
	int k = 0, m = 1;
	struct kv *v = bpf_map_lookup_elem(&lists, &k), *w = bpf_map_lookup_elem(&lists, &m);
	if (!v || !w) return 0;
	bpf_spin_lock(&v->lock);
	bpf_spin_unlock(&w->lock);
	return 0;
}

T(objlist) {
	struct withlock *w = obj_new(struct withlock);
	if (!w) return 0;
	struct knode *p = obj_new(struct knode);
	if (!p) {
		drop(w);
		return 1;
	}
	bpf_spin_lock(&w->lock);
	push(&w->h, &p->l);
	bpf_spin_unlock(&w->lock);
	drop(w);
	return 0;
}

T(objlist_other) {
	struct withlock *w = obj_new(struct withlock);
	if (!w) return 0;
	struct knode *p = obj_new(struct knode);
	if (!p) {
		drop(w);
		return 1;
	}
	bpf_spin_lock(&la);
	push(&w->h, &p->l);
	bpf_spin_unlock(&la);
	drop(w);
	return 0;
}

T(add1) {
	struct mytree *p = obj_new(struct mytree);
	if (!p) return 1;
	bpf_spin_lock(&la);
	add(&ra, &p->r, less);
	bpf_spin_unlock(&la);
	return 0;
}

T(add_use) {
	struct mytree *p = obj_new(struct mytree);
	if (!p) return 1;
	bpf_spin_lock(&la);
	add(&ra, &p->r, less);
	p->data = 3;
	bpf_spin_unlock(&la);
	return 0;
}

T(add_nolock) {
	struct mytree *p = obj_new(struct mytree);
	if (!p) return 1;
	add(&ra, &p->r, less);
	return 0;
}

T(add_remove) {
	struct mytree *p = obj_new(struct mytree);
	if (!p) return 1;
	bpf_spin_lock(&la);
	add(&ra, &p->r, less);
	struct bpf_rb_node *n = bpf_rbtree_remove(&ra, &p->r);
	bpf_spin_unlock(&la);
	if (n) drop(container_of(n, struct mytree, r));
	return 0;
}

T(add_remove_leak) {
	struct mytree *p = obj_new(struct mytree);
	if (!p) return 1;
	bpf_spin_lock(&la);
	add(&ra, &p->r, less);
	struct bpf_rb_node *n = bpf_rbtree_remove(&ra, &p->r);
	bpf_spin_unlock(&la);
	return 0;
}

T(remove_owned) {
	struct mytree *p = obj_new(struct mytree);
	if (!p) return 1;
	bpf_spin_lock(&la);
	struct bpf_rb_node *n = bpf_rbtree_remove(&ra, &p->r);
	bpf_spin_unlock(&la);
	if (n) drop(container_of(n, struct mytree, r));
	drop(p);
	return 0;
}

T(first) {
	bpf_spin_lock(&la);
	struct bpf_rb_node *n = bpf_rbtree_first(&ra);
	long x = 0;
	if (n) x = container_of(n, struct mytree, r)->data;
	bpf_spin_unlock(&la);
	return x;
}

T(first_remove) {
	bpf_spin_lock(&la);
	struct bpf_rb_node *n = bpf_rbtree_first(&ra);
	if (n) n = bpf_rbtree_remove(&ra, n);
	bpf_spin_unlock(&la);
	if (n) drop(container_of(n, struct mytree, r));
	return 0;
}

T(first_remove_use) {
	bpf_spin_lock(&la);
	struct bpf_rb_node *m = 0, *n = bpf_rbtree_first(&ra);
	if (!n) {
		bpf_spin_unlock(&la);
		return 0;
	}
	m = bpf_rbtree_remove(&ra, n);
	long x = container_of(n, struct mytree, r)->data;
	bpf_spin_unlock(&la);
	if (m) drop(container_of(m, struct mytree, r));
	return x;
}

T(first_unlock_remove) {
	bpf_spin_lock(&la);
	struct bpf_rb_node *n = bpf_rbtree_first(&ra);
	bpf_spin_unlock(&la);
	if (!n) return 0;
	bpf_spin_lock(&la);
	n = bpf_rbtree_remove(&ra, n);
	bpf_spin_unlock(&la);
	if (n) drop(container_of(n, struct mytree, r));
	return 0;
}

T(remove_null) {
	bpf_spin_lock(&la);
	struct bpf_rb_node *n = bpf_rbtree_first(&ra);
	n = bpf_rbtree_remove(&ra, n);
	bpf_spin_unlock(&la);
	if (n) drop(container_of(n, struct mytree, r));
	return 0;
}

T(walk) {
	bpf_spin_lock(&la);
	struct bpf_rb_node *n = bpf_rbtree_root(&ra);
	if (n) n = bpf_rbtree_left(&ra, n);
	if (n) n = bpf_rbtree_right(&ra, n);
	long x = 0;
	if (n) x = container_of(n, struct mytree, r)->data;
	bpf_spin_unlock(&la);
	return x;
}

T(walk_loop) {
	bpf_spin_lock(&la);
	struct bpf_rb_node *n = bpf_rbtree_root(&ra);
	for (int i = 0; i < 5 && n; i++) n = bpf_rbtree_left(&ra, n);
	bpf_spin_unlock(&la);
	return 0;
}

static bool bad_less(struct bpf_rb_node *a, const struct bpf_rb_node *b) {
	bpf_spin_unlock(&la);
	return 0;
}

static bool bad_less2(struct bpf_rb_node *a, const struct bpf_rb_node *b) {
	struct bpf_rb_node *n = bpf_rbtree_remove(&ra, a);
	return 0;
}

static bool bad_less3(struct bpf_rb_node *a, const struct bpf_rb_node *b) {
	struct bpf_rb_node *n = bpf_rbtree_first(&ra);
	return n != 0;
}

static bool bad_less4(struct bpf_rb_node *a, const struct bpf_rb_node *b) {
	add(&ra, a, less);
	return 0;
}

static int bad_less5(struct bpf_rb_node *a, const struct bpf_rb_node *b) {
	return 2;
}

static bool bad_less6(struct bpf_rb_node *a, const struct bpf_rb_node *b) {
	bpf_rcu_read_lock();
	return 0;
}

static bool bad_less7(struct bpf_rb_node *a, const struct bpf_rb_node *b) {
	return bpf_get_prandom_u32() & 1;
}

T(less_unlock) {
	struct mytree *p = obj_new(struct mytree);
	if (!p) return 1;
	bpf_spin_lock(&la);
	add(&ra, &p->r, bad_less);
	bpf_spin_unlock(&la);
	return 0;
}

T(less_remove) {
	struct mytree *p = obj_new(struct mytree);
	if (!p) return 1;
	bpf_spin_lock(&la);
	add(&ra, &p->r, bad_less2);
	bpf_spin_unlock(&la);
	return 0;
}

T(less_first) {
	struct mytree *p = obj_new(struct mytree);
	if (!p) return 1;
	bpf_spin_lock(&la);
	add(&ra, &p->r, bad_less3);
	bpf_spin_unlock(&la);
	return 0;
}

T(less_add) {
	struct mytree *p = obj_new(struct mytree);
	if (!p) return 1;
	bpf_spin_lock(&la);
	add(&ra, &p->r, bad_less4);
	bpf_spin_unlock(&la);
	return 0;
}

T(less_range) {
	struct mytree *p = obj_new(struct mytree);
	if (!p) return 1;
	bpf_spin_lock(&la);
	add(&ra, &p->r, (void *)bad_less5);
	bpf_spin_unlock(&la);
	return 0;
}

T(less_rcu) {
	struct mytree *p = obj_new(struct mytree);
	if (!p) return 1;
	bpf_spin_lock(&la);
	add(&ra, &p->r, bad_less6);
	bpf_spin_unlock(&la);
	return 0;
}

T(less_helper) {
	struct mytree *p = obj_new(struct mytree);
	if (!p) return 1;
	bpf_spin_lock(&la);
	add(&ra, &p->r, bad_less7);
	bpf_spin_unlock(&la);
	return 0;
}

T(ref1) {
	struct krnode *p = obj_new(struct krnode);
	if (!p) return 1;
	struct krnode *q = refget(p);
	bpf_spin_lock(&lb);
	push(&hb, &p->l);
	bpf_spin_unlock(&lb);
	q->data = 1;
	drop(q);
	return 0;
}

T(ref_leak) {
	struct krnode *p = obj_new(struct krnode);
	if (!p) return 1;
	struct krnode *q = refget(p);
	bpf_spin_lock(&lb);
	push(&hb, &p->l);
	bpf_spin_unlock(&lb);
	return 0;
}

T(ref_both) {
	struct krnode *p = obj_new(struct krnode);
	if (!p) return 1;
	struct krnode *q = refget(p);
	bpf_spin_lock(&lb);
	push(&hb, &p->l);
	add(&rb, &q->r, rless);
	bpf_spin_unlock(&lb);
	return 0;
}

T(ref_norefcount) {
	struct knode *p = obj_new(struct knode);
	if (!p) return 1;
	struct knode *q = refget(p);
	drop(q);
	drop(p);
	return 0;
}

T(ref_nonown) {
	bpf_spin_lock(&lb);
	struct bpf_rb_node *n = bpf_rbtree_first(&rb);
	if (!n) {
		bpf_spin_unlock(&lb);
		return 0;
	}
	struct krnode *q = refget(container_of(n, struct krnode, r));
	bpf_spin_unlock(&lb);
	if (q) drop(q);
	return 0;
}

T(ref_nonown_nocheck) {
	bpf_spin_lock(&lb);
	struct bpf_rb_node *n = bpf_rbtree_first(&rb);
	if (!n) {
		bpf_spin_unlock(&lb);
		return 0;
	}
	struct krnode *q = refget(container_of(n, struct krnode, r));
	bpf_spin_unlock(&lb);
	drop(q);
	return 0;
}

T(ref_after_unlock) {
	bpf_spin_lock(&lb);
	struct bpf_rb_node *n = bpf_rbtree_first(&rb);
	bpf_spin_unlock(&lb);
	if (!n) return 0;
	struct krnode *q = refget(container_of(n, struct krnode, r));
	if (q) drop(q);
	return 0;
}

T(ref_null) {
	struct krnode *p = obj_new(struct krnode);
	struct krnode *q = refget(p);
	if (q) drop(q);
	if (p) drop(p);
	return 0;
}

T(strlen_locked) {
	bpf_spin_lock(&la);
	bpf_strlen("abc");
	bpf_spin_unlock(&la);
	return 0;
}

T(num_locked) {
	struct bpf_iter_num it;
	bpf_spin_lock(&la);
	bpf_iter_num_new(&it, 0, 3);
	while (bpf_iter_num_next(&it)) ;
	bpf_iter_num_destroy(&it);
	bpf_spin_unlock(&la);
	return 0;
}

T(rcu_locked) {
	bpf_spin_lock(&la);
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	bpf_spin_unlock(&la);
	return 0;
}

T(stream_locked) {
	static const char fmt[] = "x";
	bpf_spin_lock(&la);
	bpf_stream_vprintk_impl(1, fmt, 0, 0, 0);
	bpf_spin_unlock(&la);
	return 0;
}

T(stream) {
	static const char fmt[] = "x";
	bpf_stream_vprintk_impl(1, fmt, 0, 0, 0);
	return 0;
}

T(stream_bad) {
	char fmt[] = "x";
	bpf_stream_vprintk_impl(1, fmt, 0, 0, 0);
	return 0;
}

T(subprog_push);

static __noinline int do_push(struct knode *p) {
	bpf_spin_lock(&la);
	push(&ha, &p->l);
	bpf_spin_unlock(&la);
	return 0;
}

T(subprog_push) {
	struct knode *p = obj_new(struct knode);
	if (!p) return 1;
	return do_push(p);
}

T(pop_loop) {
	for (int i = 0; i < 10; i++) {
		bpf_spin_lock(&la);
		struct bpf_list_node *n = bpf_list_pop_front(&ha);
		bpf_spin_unlock(&la);
		if (!n) break;
		drop(container_of(n, struct knode, l));
	}
	return 0;
}

T(throw_held) {
	struct kplain *p = obj_new(struct kplain);
	bpf_throw(0);
	if (p) drop(p);
	return 0;
}

T(throw_locked) {
	bpf_spin_lock(&la);
	bpf_throw(0);
	return 0;
}

static __noinline int thrower(int x) {
	if (x) bpf_throw(1);
	return 0;
}

T(throw_sub) {
	return thrower(ctx->len);
}

T(throw_sub_ref) {
	struct kplain *p = obj_new(struct kplain);
	if (!p) return 0;
	thrower(ctx->len);
	drop(p);
	return 0;
}

__noinline int gthrower(int x) {
	if (x) bpf_throw(1);
	return 0;
}

T(throw_global) {
	return gthrower(ctx->len);
}

