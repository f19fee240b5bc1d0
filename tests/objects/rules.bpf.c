// For rules whose examples are easier to read in C: a program that breaks one, and one that keeps it.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct bpf_list_head { __u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_list_node { __u64 opaque[3]; } __attribute__((aligned(8)));
struct bpf_rb_root { __u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_rb_node { __u64 opaque[4]; } __attribute__((aligned(8)));

#define __contains(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))
#define private(name) SEC(".data." #name) __attribute__((visibility("hidden"), aligned(8)))
#define bpf_obj_new(type) ((type *)bpf_obj_new_impl(__builtin_btf_type_id(*(type *)0, 0), NULL))
#define bpf_obj_drop(object) bpf_obj_drop_impl(object, NULL)

extern void *bpf_obj_new_impl(__u64 type_id, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *object, void *meta) __ksym;
extern int bpf_list_push_front_impl(struct bpf_list_head *head, struct bpf_list_node *node,
				    void *meta, __u64 off) __ksym;
extern int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node,
			       _Bool (less)(struct bpf_rb_node *, const struct bpf_rb_node *),
			       void *meta, __u64 off) __ksym;

struct job {
	long number;
	struct bpf_list_node link;
};

struct leaf {
	long key;
	struct bpf_rb_node node;
};

private(jobs) struct bpf_spin_lock jobs_lock;
private(jobs) struct bpf_list_head jobs __contains(job, link);
private(tree) struct bpf_spin_lock tree_lock;
private(tree) struct bpf_rb_root tree __contains(leaf, node);

SEC("tc")
int collection_locked_refused(struct __sk_buff *ctx)
{
	struct job *job = bpf_obj_new(struct job);

	if (!job)
		return 0;
	bpf_list_push_front_impl(&jobs, &job->link, NULL, 0);
	return 0;
}

SEC("tc")
int collection_locked_accepted(struct __sk_buff *ctx)
{
	struct job *job = bpf_obj_new(struct job);

	if (!job)
		return 0;
	bpf_spin_lock(&jobs_lock);
	bpf_list_push_front_impl(&jobs, &job->link, NULL, 0);
	bpf_spin_unlock(&jobs_lock);
	return 0;
}

SEC("tc")
int collection_field_refused(struct __sk_buff *ctx)
{
	struct job *job = bpf_obj_new(struct job);

	if (!job)
		return 0;
	bpf_spin_lock(&jobs_lock);
	bpf_list_push_front_impl(&jobs, (struct bpf_list_node *)&job->number, NULL, 0);
	bpf_spin_unlock(&jobs_lock);
	return 0;
}

SEC("tc")
int collection_field_accepted(struct __sk_buff *ctx)
{
	struct job *job = bpf_obj_new(struct job);

	if (!job)
		return 0;
	bpf_spin_lock(&jobs_lock);
	bpf_list_push_front_impl(&jobs, &job->link, NULL, 0);
	bpf_spin_unlock(&jobs_lock);
	return 0;
}

SEC("tc")
int object_owned_refused(struct __sk_buff *ctx)
{
	struct job *job = bpf_obj_new(struct job);

	if (!job)
		return 0;
	bpf_spin_lock(&jobs_lock);
	bpf_list_push_front_impl(&jobs, &job->link, NULL, 0);
	bpf_list_push_front_impl(&jobs, &job->link, NULL, 0);
	bpf_spin_unlock(&jobs_lock);
	return 0;
}

SEC("tc")
int object_owned_accepted(struct __sk_buff *ctx)
{
	struct job *job = bpf_obj_new(struct job);

	if (!job)
		return 0;
	job->number = 1;
	bpf_obj_drop(job);
	return 0;
}

static _Bool less_unlocked(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	bpf_spin_unlock(&tree_lock);
	return 0;
}

static _Bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct leaf, node)->key < container_of(b, struct leaf, node)->key;
}

SEC("tc")
int no_lock_in_tree_callback_refused(struct __sk_buff *ctx)
{
	struct leaf *leaf = bpf_obj_new(struct leaf);

	if (!leaf)
		return 0;
	bpf_spin_lock(&tree_lock);
	/* less_unlocked() releases tree_lock */
	bpf_rbtree_add_impl(&tree, &leaf->node, less_unlocked, NULL, 0);
	bpf_spin_unlock(&tree_lock);
	return 0;
}

SEC("tc")
int no_lock_in_tree_callback_accepted(struct __sk_buff *ctx)
{
	struct leaf *leaf = bpf_obj_new(struct leaf);

	if (!leaf)
		return 0;
	bpf_spin_lock(&tree_lock);
	/* less() compares the keys and does nothing else */
	bpf_rbtree_add_impl(&tree, &leaf->node, less, NULL, 0);
	bpf_spin_unlock(&tree_lock);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
