/* SPDX-License-Identifier: Apache-2.0 */
/* Programs whose results tell what lists, trees, references, sets of CPUs and bits do. */
#include "../kfuncs/common.h"

extern int bpf_iter_bits_new(struct bpf_iter_bits *, const u64 *, u32) __ksym __weak;
extern int *bpf_iter_bits_next(struct bpf_iter_bits *) __ksym __weak;
extern void bpf_iter_bits_destroy(struct bpf_iter_bits *) __ksym __weak;
extern u32 bpf_cpumask_first(const struct cpumask *) __ksym __weak;
extern u32 bpf_cpumask_first_zero(const struct cpumask *) __ksym __weak;
extern u32 bpf_cpumask_first_and(const struct cpumask *, const struct cpumask *) __ksym __weak;
extern void bpf_cpumask_clear_cpu(u32, struct bpf_cpumask *) __ksym __weak;
extern bool bpf_cpumask_test_and_set_cpu(u32, struct bpf_cpumask *) __ksym __weak;
extern bool bpf_cpumask_test_and_clear_cpu(u32, struct bpf_cpumask *) __ksym __weak;
extern void bpf_cpumask_setall(struct bpf_cpumask *) __ksym __weak;
extern void bpf_cpumask_clear(struct bpf_cpumask *) __ksym __weak;
extern void bpf_cpumask_or(struct bpf_cpumask *, const struct cpumask *, const struct cpumask *)
	__ksym __weak;
extern void bpf_cpumask_xor(struct bpf_cpumask *, const struct cpumask *, const struct cpumask *)
	__ksym __weak;
extern bool bpf_cpumask_equal(const struct cpumask *, const struct cpumask *) __ksym __weak;
extern bool bpf_cpumask_intersects(const struct cpumask *, const struct cpumask *) __ksym __weak;
extern bool bpf_cpumask_subset(const struct cpumask *, const struct cpumask *) __ksym __weak;
extern bool bpf_cpumask_empty(const struct cpumask *) __ksym __weak;
extern bool bpf_cpumask_full(const struct cpumask *) __ksym __weak;
extern void bpf_cpumask_copy(struct bpf_cpumask *, const struct cpumask *) __ksym __weak;
extern u32 bpf_cpumask_weight(const struct cpumask *) __ksym __weak;

#define for_each_bit(n, words, count)                                                              \
	for (struct bpf_iter_bits it __attribute__((aligned(8), cleanup(bpf_iter_bits_destroy))),  \
	     *once __attribute__((unused)) = (bpf_iter_bits_new(&it, words, count),                \
					      (void)bpf_iter_bits_destroy, (void *)0);            \
	     (n = bpf_iter_bits_next(&it));)
#define MIX(value) (sum = sum * 31 + (__u32)(value))

struct item {
	__u64 key;
	struct bpf_list_node list;
	struct bpf_rb_node tree;
	struct bpf_refcount refs;
	__u32 data;
};

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head head __contains(item, list);
private(B) struct bpf_spin_lock tree_lock;
private(B) struct bpf_rb_root root __contains(item, tree);

struct plain {
	__u64 a, b;
	struct plain *unused;
};
struct held {
	struct plain __kptr *kept;
	struct bpf_cpumask __kptr *mask;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, int);
	__type(value, struct held);
} slots SEC(".maps");

struct owner {
	struct bpf_spin_lock lock;
	struct bpf_list_head items __contains(item, list);
	struct bpf_rb_root sorted __contains(item, tree);
	struct plain __kptr *kept;
};

static bool before(struct bpf_rb_node *x, const struct bpf_rb_node *y)
{
	return container_of(x, struct item, tree)->key < container_of(y, struct item, tree)->key;
}

SEC("tc") int lists(struct __sk_buff *skb)
{
	struct bpf_list_node *n;
	struct item *x;
	__u32 sum = 1;
	int i;

	bpf_for(i, 0, 10) {
		x = obj_new(struct item);
		if (!x)
			return 0;
		x->key = i * 3;
		bpf_spin_lock(&lock);
		if (i & 1)
			push(&head, &x->list);
		else
			push_back(&head, &x->list);
		bpf_spin_unlock(&lock);
	}
	bpf_spin_lock(&lock);
	n = bpf_list_front(&head);
	if (n)
		MIX(container_of(n, struct item, list)->key);
	n = bpf_list_back(&head);
	if (n)
		MIX(container_of(n, struct item, list)->key);
	bpf_spin_unlock(&lock);
	bpf_for(i, 0, 12) {
		bpf_spin_lock(&lock);
		if (i % 3)
			n = bpf_list_pop_front(&head);
		else
			n = bpf_list_pop_back(&head);
		bpf_spin_unlock(&lock);
		if (!n) {
			MIX(1000);
			continue;
		}
		x = container_of(n, struct item, list);
		MIX(x->key);
		drop(x);
	}
	bpf_spin_lock(&lock);
	MIX(bpf_list_front(&head) == 0);
	MIX(bpf_list_back(&head) == 0);
	bpf_spin_unlock(&lock);
	return sum;
}

static __u32 random_key(__u32 *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 16 & 255;
}

/* The keys at the top tell how the tree is balanced. */
static __always_inline __u32 shape(__u32 sum)
{
	struct bpf_rb_node *n, *l, *r, *ll, *lr;

	bpf_spin_lock(&tree_lock);
	n = bpf_rbtree_root(&root);
	if (n) {
		MIX(container_of(n, struct item, tree)->data);
		l = bpf_rbtree_left(&root, n);
		r = bpf_rbtree_right(&root, n);
		if (r) {
			MIX(container_of(r, struct item, tree)->data);
			lr = bpf_rbtree_right(&root, r);
			ll = bpf_rbtree_left(&root, r);
			MIX(lr ? container_of(lr, struct item, tree)->data : 7777);
			MIX(ll ? container_of(ll, struct item, tree)->data : 7777);
		}
		if (l) {
			MIX(container_of(l, struct item, tree)->data);
			lr = bpf_rbtree_right(&root, l);
			ll = bpf_rbtree_left(&root, l);
			MIX(lr ? container_of(lr, struct item, tree)->data : 7777);
			MIX(ll ? container_of(ll, struct item, tree)->data : 7777);
		}
	}
	bpf_spin_unlock(&tree_lock);
	return sum;
}

__u32 seed = 7;
SEC("tc") int trees(struct __sk_buff *skb)
{
	struct bpf_rb_node *n, *l;
	struct item *x;
	__u32 sum = 1;
	int i;

	bpf_for(i, 0, 120) {
		x = obj_new(struct item);
		if (!x)
			return 0;
		x->key = random_key(&seed);
		x->data = i;
		bpf_spin_lock(&tree_lock);
		add(&root, &x->tree, before);
		bpf_spin_unlock(&tree_lock);
		sum = shape(sum);
	}
	bpf_for(i, 0, 130) {
		bpf_spin_lock(&tree_lock);
		n = bpf_rbtree_root(&root);
		if (i % 3 == 0) {
			n = bpf_rbtree_first(&root);
		} else if (i % 3 == 1 && n) {
			l = bpf_rbtree_left(&root, n);
			if (l)
				n = l;
		}
		if (n)
			n = bpf_rbtree_remove(&root, n);
		bpf_spin_unlock(&tree_lock);
		if (!n) {
			MIX(5);
			continue;
		}
		x = container_of(n, struct item, tree);
		MIX(x->data * 256 + x->key);
		drop(x);
		sum = shape(sum);
	}
	return sum;
}

SEC("tc") int both(struct __sk_buff *skb)
{
	struct bpf_list_node *n;
	struct bpf_rb_node *r;
	struct item *x, *y;
	__u32 sum = 1;
	int i;

	bpf_for(i, 0, 5) {
		x = obj_new(struct item);
		if (!x)
			return 0;
		x->key = 10 - i;
		y = refget(x);
		bpf_spin_lock(&lock);
		MIX(push(&head, &x->list));
		bpf_spin_unlock(&lock);
		bpf_spin_lock(&tree_lock);
		MIX(add(&root, &y->tree, before));
		bpf_spin_unlock(&tree_lock);
	}
	bpf_for(i, 0, 6) {
		bpf_spin_lock(&lock);
		n = bpf_list_pop_front(&head);
		bpf_spin_unlock(&lock);
		if (n) {
			x = container_of(n, struct item, list);
			MIX(x->key);
			bpf_spin_lock(&tree_lock);
			r = bpf_rbtree_remove(&root, &x->tree);
			bpf_spin_unlock(&tree_lock);
			MIX(r != 0);
			if (r)
				drop(container_of(r, struct item, tree));
			bpf_spin_lock(&tree_lock);
			r = bpf_rbtree_remove(&root, &x->tree);
			bpf_spin_unlock(&tree_lock);
			MIX(r != 0);
			if (r)
				drop(container_of(r, struct item, tree));
			drop(x);
		}
	}
	return sum;
}

SEC("tc") int pushed_twice(struct __sk_buff *skb)
{
	struct bpf_list_node *n;
	struct item *x, *y;
	__u32 sum = 1;
	int i;

	x = obj_new(struct item);
	if (!x)
		return 0;
	x->key = 4;
	y = refget(x);
	bpf_spin_lock(&lock);
	MIX(push(&head, &x->list));
	MIX(push(&head, &y->list));
	bpf_spin_unlock(&lock);
	bpf_for(i, 0, 3) {
		bpf_spin_lock(&lock);
		n = bpf_list_pop_front(&head);
		bpf_spin_unlock(&lock);
		MIX(n != 0);
		if (n)
			drop(container_of(n, struct item, list));
	}
	return sum;
}

SEC("tc") int nested(struct __sk_buff *skb)
{
	struct owner *o = obj_new(struct owner);
	struct plain *p, *q;
	struct item *x, *y;
	__u32 sum = 1;
	int i;

	if (!o)
		return 0;
	bpf_for(i, 0, 4) {
		x = obj_new(struct item);
		if (!x)
			break;
		x->key = i;
		y = refget(x);
		bpf_spin_lock(&o->lock);
		MIX(push(&o->items, &x->list));
		MIX(add(&o->sorted, &y->tree, before));
		bpf_spin_unlock(&o->lock);
	}
	p = obj_new(struct plain);
	if (p) {
		p->a = 5;
		q = bpf_kptr_xchg(&o->kept, p);
		MIX(q == 0);
		if (q)
			drop(q);
	}
	drop(o);
	return sum;
}

SEC("tc") int stored(struct __sk_buff *skb)
{
	struct plain *p, *old;
	struct held *v;
	__u32 sum = 1;
	int key = 1;

	v = bpf_map_lookup_elem(&slots, &key);
	p = obj_new(struct plain);
	if (!p)
		return 0;
	if (!v) {
		drop(p);
		return 0;
	}
	MIX(p->a + p->b);
	p->a = skb->len;
	old = bpf_kptr_xchg(&v->kept, p);
	MIX(old != 0);
	if (old) {
		MIX(old->a);
		drop(old);
	}
	bpf_rcu_read_lock();
	p = v->kept;
	if (p)
		MIX(p->a);
	bpf_rcu_read_unlock();
	return sum;
}

SEC("syscall") int bits(void *ctx)
{
	u64 one = 0x8000000000000101ull, more[5] = {0, 6, 0, 1ull << 63, 5};
	__u32 sum = 1;
	int *n;

	for_each_bit(n, &one, 1) MIX(*n);
	for_each_bit(n, more, 5) MIX(*n);
	for_each_bit(n, more, 1) MIX(*n);
	{
		struct bpf_iter_bits it;

		MIX(bpf_iter_bits_new(&it, 0, 1));
		MIX(bpf_iter_bits_next(&it) == 0);
		bpf_iter_bits_destroy(&it);
		MIX(bpf_iter_bits_new(&it, more, 0));
		bpf_iter_bits_destroy(&it);
		MIX(bpf_iter_bits_new(&it, more, 512));
		MIX(bpf_iter_bits_next(&it) == 0);
		bpf_iter_bits_destroy(&it);
		MIX(bpf_iter_bits_new(&it, (void *)-8192, 1));
		bpf_iter_bits_destroy(&it);
	}
	return sum;
}

#define CPUS(m) ((const struct cpumask *)(m))
SEC("syscall") int masks(void *ctx)
{
	struct bpf_cpumask *a, *b, *c;
	struct held *v;
	__u32 sum = 1;
	int key = 0;

	a = bpf_cpumask_create();
	if (!a)
		return 0;
	b = bpf_cpumask_create();
	if (!b) {
		bpf_cpumask_release(a);
		return 0;
	}
	c = bpf_cpumask_acquire(a);
	MIX(bpf_cpumask_empty(CPUS(a)));
	MIX(bpf_cpumask_first(CPUS(a)));
	bpf_cpumask_set_cpu(1, a);
	bpf_cpumask_set_cpu(5000, a);
	MIX(bpf_cpumask_test_cpu(1, CPUS(c)) + 2 * bpf_cpumask_test_cpu(0, CPUS(c)));
	MIX(bpf_cpumask_test_cpu(5000, CPUS(c)));
	MIX(bpf_cpumask_test_and_set_cpu(1, a) + 2 * bpf_cpumask_test_and_set_cpu(0, b));
	MIX(bpf_cpumask_first(CPUS(a)) + 8 * bpf_cpumask_first_zero(CPUS(b)));
	MIX(bpf_cpumask_intersects(CPUS(a), CPUS(b)));
	MIX(bpf_cpumask_and(c, CPUS(a), CPUS(b)));
	MIX(bpf_cpumask_empty(CPUS(c)));
	bpf_cpumask_setall(c);
	MIX(bpf_cpumask_full(CPUS(c)) + 2 * bpf_cpumask_subset(CPUS(b), CPUS(c)));
	MIX(bpf_cpumask_weight(CPUS(c)));
	MIX(bpf_cpumask_first_zero(CPUS(c)));
	bpf_cpumask_xor(a, CPUS(c), CPUS(b));
	MIX(bpf_cpumask_equal(CPUS(a), CPUS(b)) + 2 * bpf_cpumask_test_cpu(0, CPUS(a)));
	bpf_cpumask_or(b, CPUS(a), CPUS(b));
	MIX(bpf_cpumask_equal(CPUS(c), CPUS(b)));
	MIX(bpf_cpumask_test_and_clear_cpu(0, b));
	MIX(bpf_cpumask_first(CPUS(b)));
	bpf_cpumask_clear_cpu(1, b);
	MIX(bpf_cpumask_first_and(CPUS(b), CPUS(b)));
	bpf_cpumask_clear(b);
	bpf_cpumask_copy(b, CPUS(c));
	MIX(bpf_cpumask_weight(CPUS(b)));
	v = bpf_map_lookup_elem(&slots, &key);
	if (v)
		a = bpf_kptr_xchg(&v->mask, a);
	MIX(a != 0);
	if (a)
		bpf_cpumask_release(a);
	bpf_cpumask_release(b);
	bpf_cpumask_release(c);
	return sum;
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, int);
	__type(value, struct held);
} table SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4);
	__type(key, int);
	__type(value, struct held);
} recent SEC(".maps");

static __always_inline int put(void *map, int key, __u64 number)
{
	struct held *v, none = {};
	struct plain *p, *old;

	if (!bpf_map_lookup_elem(map, &key) && bpf_map_update_elem(map, &key, &none, BPF_ANY))
		return -1;
	v = bpf_map_lookup_elem(map, &key);
	p = obj_new(struct plain);
	if (!p)
		return -2;
	if (!v) {
		drop(p);
		return -3;
	}
	p->b = number;
	old = bpf_kptr_xchg(&v->kept, p);
	if (!old)
		return 0;
	number = old->b;
	drop(old);
	return number;
}

SEC("tc") int in_hashes(struct __sk_buff *skb)
{
	struct held none = {};
	__u32 sum = 1;
	int i, key;

	bpf_for(i, 1, 20) {
		key = i * 7 % 3;
		MIX(put(&table, key, i));
		if (i % 4 == 0)
			MIX(bpf_map_delete_elem(&table, &key));
		if (i % 5 == 0)
			MIX(bpf_map_update_elem(&table, &key, &none, BPF_ANY));
	}
	bpf_for(i, 1, 40)
		put(&recent, i, i);
	return sum;
}
