/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel functions and shorthands of the programs in this folder. */
/* All programs are loaded only, none runs. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#define __contains(n, f) __attribute__((btf_decl_tag("contains:" #n ":" #f)))
#define private(n) SEC(".data." #n) __attribute__((aligned(8)))
#define HIDDEN __hidden
extern void *bpf_obj_new_impl(__u64, void *) __ksym;
extern void bpf_obj_drop_impl(void *, void *) __ksym;
extern void *bpf_percpu_obj_new_impl(__u64, void *) __ksym;
extern void bpf_percpu_obj_drop_impl(void *, void *) __ksym;
extern void *bpf_refcount_acquire_impl(void *, void *) __ksym;
extern int bpf_list_push_front_impl(struct bpf_list_head *, struct bpf_list_node *, void *,
	__u64) __ksym;
extern int bpf_list_push_back_impl(struct bpf_list_head *, struct bpf_list_node *, void *,
	__u64) __ksym;
extern struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *) __ksym;
extern struct bpf_list_node *bpf_list_pop_back(struct bpf_list_head *) __ksym;
extern struct bpf_list_node *bpf_list_front(struct bpf_list_head *) __ksym;
extern struct bpf_list_node *bpf_list_back(struct bpf_list_head *) __ksym;
extern int bpf_rbtree_add_impl(struct bpf_rb_root *, struct bpf_rb_node *,
	bool (*)(struct bpf_rb_node *, const struct bpf_rb_node *), void *, __u64) __ksym;
extern struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *, struct bpf_rb_node *) __ksym;
extern struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *) __ksym;
extern struct bpf_rb_node *bpf_rbtree_root(struct bpf_rb_root *) __ksym;
extern struct bpf_rb_node *bpf_rbtree_left(struct bpf_rb_root *, struct bpf_rb_node *) __ksym;
extern struct bpf_rb_node *bpf_rbtree_right(struct bpf_rb_root *, struct bpf_rb_node *) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern void bpf_preempt_disable(void) __ksym;
extern void bpf_preempt_enable(void) __ksym;
extern void bpf_local_irq_save(unsigned long *) __ksym;
extern void bpf_local_irq_restore(unsigned long *) __ksym;
extern int bpf_res_spin_lock(struct bpf_res_spin_lock *) __ksym;
extern void bpf_res_spin_unlock(struct bpf_res_spin_lock *) __ksym;
extern int bpf_res_spin_lock_irqsave(struct bpf_res_spin_lock *, unsigned long *) __ksym;
extern void bpf_res_spin_unlock_irqrestore(struct bpf_res_spin_lock *, unsigned long *) __ksym;
extern int bpf_wq_init(struct bpf_wq *, void *, unsigned) __ksym;
extern int bpf_wq_set_callback_impl(struct bpf_wq *, int (*)(void *, int *, void *), unsigned,
	void *) __ksym;
extern int bpf_wq_start(struct bpf_wq *, unsigned) __ksym;
extern struct task_struct *bpf_task_acquire(struct task_struct *) __ksym;
extern struct task_struct *bpf_task_from_pid(s32) __ksym;
extern void bpf_task_release(struct task_struct *) __ksym;
extern struct cgroup *bpf_cgroup_from_id(u64) __ksym;
extern struct cgroup *bpf_cgroup_acquire(struct cgroup *) __ksym;
extern void bpf_cgroup_release(struct cgroup *) __ksym;
extern struct bpf_cpumask *bpf_cpumask_create(void) __ksym;
extern struct bpf_cpumask *bpf_cpumask_acquire(struct bpf_cpumask *) __ksym;
extern void bpf_cpumask_release(struct bpf_cpumask *) __ksym;
extern void bpf_cpumask_set_cpu(u32, struct bpf_cpumask *) __ksym;
extern bool bpf_cpumask_test_cpu(u32, const struct cpumask *) __ksym;
extern bool bpf_cpumask_and(struct bpf_cpumask *, const struct cpumask *,
	const struct cpumask *) __ksym;
extern int bpf_iter_num_new(struct bpf_iter_num *, int, int) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *) __ksym;
extern int bpf_iter_task_new(struct bpf_iter_task *, struct task_struct *, unsigned) __ksym;
extern struct task_struct *bpf_iter_task_next(struct bpf_iter_task *) __ksym;
extern void bpf_iter_task_destroy(struct bpf_iter_task *) __ksym;
extern void bpf_throw(u64) __ksym;
extern s64 bpf_map_sum_elem_count(const struct bpf_map *) __ksym;
extern int bpf_dynptr_from_skb(struct __sk_buff *, u64, struct bpf_dynptr *) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *, u32, void *, u32) __ksym;
extern void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *, u32, void *, u32) __ksym;
extern u32 bpf_dynptr_size(const struct bpf_dynptr *) __ksym;
extern int bpf_dynptr_clone(const struct bpf_dynptr *, struct bpf_dynptr *) __ksym;
extern int bpf_dynptr_copy(struct bpf_dynptr *, u32, struct bpf_dynptr *, u32, u32) __ksym;
extern int bpf_stream_vprintk_impl(int, const char *, const void *, u32, void *) __ksym;
extern int bpf_strlen(const char *) __ksym;
extern void *bpf_cast_to_kern_ctx(void *) __ksym;
extern void *bpf_rdonly_cast(const void *, u32) __ksym;
extern void *bpf_arena_alloc_pages(void *, void *, u32, int, u64) __ksym;
#define obj_new(T) ((T *)bpf_obj_new_impl(bpf_core_type_id_local(T), 0))
#define percpu_new(T) ((T *)bpf_percpu_obj_new_impl(bpf_core_type_id_local(T), 0))
#define drop(p) bpf_obj_drop_impl(p, 0)
#define push(h, n) bpf_list_push_front_impl(h, n, 0, 0)
#define push_back(h, n) bpf_list_push_back_impl(h, n, 0, 0)
#define add(r, n, l) bpf_rbtree_add_impl(r, n, l, 0, 0)
#define refget(p) bpf_refcount_acquire_impl(p, 0)
#define offsetof(T, m) __builtin_offsetof(T, m)
#define container_of(p, T, m) ((T *)((void *)(p) - offsetof(T, m)))

char _license[] SEC("license") = "GPL";
#define T(name) SEC("?tc") int name(struct __sk_buff *ctx)
#define S(name) SEC("?syscall") int name(void *ctx)
#define P(name) SEC("?tp_btf/task_newtask") int BPF_PROG(name, struct task_struct *task, u64 flags)

#define bpf_for(i, start, end)                                                                   \
	for (struct bpf_iter_num ___it                                                           \
		     __attribute__((aligned(8), cleanup(bpf_iter_num_destroy))),                 \
	     *___p __attribute__((unused)) = (bpf_iter_num_new(&___it, (start), (end)),          \
					      (void)bpf_iter_num_destroy, (void *)0);            \
	     ({                                                                                  \
		     int *___t = bpf_iter_num_next(&___it);                                      \
		     (___t && ((i) = *___t, (i) >= (start) && (i) < (end)));                     \
	     });)

#define bpf_repeat(N)                                                                            \
	for (struct bpf_iter_num ___it                                                           \
		     __attribute__((aligned(8), cleanup(bpf_iter_num_destroy))),                 \
	     *___p __attribute__((unused)) = (bpf_iter_num_new(&___it, 0, (N)),                  \
					      (void)bpf_iter_num_destroy, (void *)0);            \
	     bpf_iter_num_next(&___it);)
