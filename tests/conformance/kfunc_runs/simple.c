/* SPDX-License-Identifier: Apache-2.0 */
/* Programs whose results tell what numbers, sections, dynptrs and strings do. */
#include "../kfuncs/common.h"

extern int bpf_dynptr_from_skb(struct __sk_buff *, __u64, struct bpf_dynptr *) __ksym __weak;
extern int bpf_dynptr_from_xdp(struct xdp_md *, __u64, struct bpf_dynptr *) __ksym __weak;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *, __u32, void *, __u32) __ksym __weak;
extern void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *, __u32, void *, __u32) __ksym __weak;
extern int bpf_dynptr_adjust(const struct bpf_dynptr *, __u32, __u32) __ksym __weak;
extern bool bpf_dynptr_is_null(const struct bpf_dynptr *) __ksym __weak;
extern bool bpf_dynptr_is_rdonly(const struct bpf_dynptr *) __ksym __weak;
extern __u32 bpf_dynptr_size(const struct bpf_dynptr *) __ksym __weak;
extern int bpf_dynptr_clone(const struct bpf_dynptr *, struct bpf_dynptr *) __ksym __weak;
extern int bpf_dynptr_copy(struct bpf_dynptr *, __u32, struct bpf_dynptr *, __u32, __u32) __ksym
	__weak;
extern int bpf_dynptr_memset(struct bpf_dynptr *, __u32, __u32, __u8) __ksym __weak;
extern int bpf_strcmp(const char *, const char *) __ksym __weak;
extern int bpf_strcasecmp(const char *, const char *) __ksym __weak;
extern int bpf_strchr(const char *, char) __ksym __weak;
extern int bpf_strchrnul(const char *, char) __ksym __weak;
extern int bpf_strnchr(const char *, size_t, char) __ksym __weak;
extern int bpf_strrchr(const char *, int) __ksym __weak;
extern int bpf_strlen(const char *) __ksym __weak;
extern int bpf_strnlen(const char *, size_t) __ksym __weak;
extern int bpf_strspn(const char *, const char *) __ksym __weak;
extern int bpf_strcspn(const char *, const char *) __ksym __weak;
extern int bpf_strstr(const char *, const char *) __ksym __weak;
extern int bpf_strnstr(const char *, const char *, size_t) __ksym __weak;

#define MIX(value) (sum = sum * 31 + (__u32)(value))

static char words[8][16] = {"", "a", "abc", "ABC", "abcabd", "abd", "xyz\xff", "needle in hay"};
char big[70000];

SEC("tc") int numbers(struct __sk_buff *skb)
{
	__u32 sum = 0;
	int i, end = skb->len;

	bpf_for(i, 0, 10) MIX(i);
	bpf_for(i, -3, 4) MIX(i * 7);
	bpf_for(i, 5, 5) MIX(99);
	bpf_for(i, 9, 2) MIX(98);
	bpf_for(i, 0, end) MIX(i);
	bpf_repeat(17) MIX(1);
	return sum;
}

SEC("tc") int number_errors(struct __sk_buff *skb)
{
	struct bpf_iter_num it;
	__u32 sum = 0;
	int *n;

	MIX(bpf_iter_num_new(&it, 3, 2));
	MIX(bpf_iter_num_next(&it) == 0);
	bpf_iter_num_destroy(&it);
	MIX(bpf_iter_num_new(&it, 0, 8 * 1024 * 1024 + 1));
	MIX(bpf_iter_num_next(&it) == 0);
	bpf_iter_num_destroy(&it);
	MIX(bpf_iter_num_new(&it, 0x7ffffffe, 0x7fffffff));
	while ((n = bpf_iter_num_next(&it)))
		MIX(*n);
	bpf_iter_num_destroy(&it);
	MIX(bpf_iter_num_new(&it, -2147483648, 2147483647));
	bpf_iter_num_destroy(&it);
	MIX(bpf_iter_num_new(&it, -2147483647 - 1, -2147483646));
	while ((n = bpf_iter_num_next(&it)))
		MIX(*n);
	bpf_iter_num_destroy(&it);
	return sum;
}

SEC("tc") int sections(struct __sk_buff *skb)
{
	unsigned long flags, inner;
	__u32 sum = 5;

	bpf_rcu_read_lock();
	bpf_preempt_disable();
	MIX(skb->len);
	bpf_preempt_enable();
	bpf_rcu_read_unlock();
	bpf_local_irq_save(&flags);
	bpf_local_irq_save(&inner);
	MIX(1);
	bpf_local_irq_restore(&inner);
	bpf_local_irq_restore(&flags);
	return sum;
}

struct locked {
	struct bpf_res_spin_lock a;
	__u32 count;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, int);
	__type(value, struct locked);
} locks SEC(".maps");

SEC("tc") int res_locks(struct __sk_buff *skb)
{
	struct locked *v, *w;
	unsigned long flags;
	__u32 sum = 1;
	int key = 0, other = 1, err;

	v = bpf_map_lookup_elem(&locks, &key);
	w = bpf_map_lookup_elem(&locks, &other);
	if (!v || !w)
		return 0;
	if (bpf_res_spin_lock(&v->a))
		return 1;
	v->count = 3;
	err = bpf_res_spin_lock(&w->a);
	if (!err) {
		w->count = 7;
		bpf_res_spin_unlock(&w->a);
	}
	bpf_res_spin_unlock(&v->a);
	MIX(err);
	if (!bpf_res_spin_lock_irqsave(&v->a, &flags)) {
		MIX(v->count + w->count);
		bpf_res_spin_unlock_irqrestore(&v->a, &flags);
	}
	return sum;
}

SEC("tc") int res_lock_again(struct __sk_buff *skb)
{
	struct locked *v, *w;
	int key = 0, same = 0, err;

	v = bpf_map_lookup_elem(&locks, &key);
	w = bpf_map_lookup_elem(&locks, &same);
	if (!v || !w)
		return 0;
	if (bpf_res_spin_lock(&v->a))
		return 1;
	err = bpf_res_spin_lock(&w->a);
	if (!err)
		bpf_res_spin_unlock(&w->a);
	bpf_res_spin_unlock(&v->a);
	return err;
}

SEC("tc") int packets(struct __sk_buff *skb)
{
	struct bpf_dynptr d, c;
	char buffer[20] = {}, out[4] = {1, 2, 3, 4};
	__u32 sum = 3;
	__u8 *p;

	MIX(bpf_dynptr_from_skb(skb, 1, &d));
	MIX(bpf_dynptr_is_null(&d));
	MIX(bpf_dynptr_size(&d));
	MIX(bpf_dynptr_from_skb(skb, 0, &d));
	MIX(bpf_dynptr_is_null(&d) + 2 * bpf_dynptr_is_rdonly(&d));
	MIX(bpf_dynptr_size(&d));
	p = bpf_dynptr_slice(&d, 12, buffer, 8);
	if (p)
		MIX(p[0] * 256 + p[7]);
	MIX(bpf_dynptr_slice(&d, 60, buffer, 8) == 0);
	MIX(bpf_dynptr_adjust(&d, 10, 40));
	MIX(bpf_dynptr_adjust(&d, 31, 30));
	MIX(bpf_dynptr_adjust(&d, 10, 31));
	MIX(bpf_dynptr_size(&d));
	MIX(bpf_dynptr_clone(&d, &c));
	MIX(bpf_dynptr_adjust(&c, 4, 8));
	MIX(bpf_dynptr_size(&d) * 100 + bpf_dynptr_size(&c));
	MIX(bpf_dynptr_write(&c, 1, out, 3, 0));
	MIX(bpf_dynptr_write(&c, 2, out, 3, 0));
	MIX(bpf_dynptr_read(buffer, 4, &d, 4, 0));
	MIX(buffer[0] + buffer[1] * 3 + buffer[2] * 5 + buffer[3] * 7);
	p = bpf_dynptr_slice_rdwr(&d, 0, 0, 2);
	if (p)
		p[1] = 0x77;
	MIX(bpf_dynptr_memset(&d, 20, 5, 0xaa));
	MIX(bpf_dynptr_memset(&d, 28, 5, 0xaa));
	MIX(bpf_dynptr_copy(&d, 10, &c, 0, 4));
	MIX(bpf_dynptr_copy(&d, 28, &c, 0, 4));
	MIX(bpf_dynptr_data(&d, 0, 4) == 0);
	return sum;
}

SEC("tc") int shrunk(struct __sk_buff *skb)
{
	struct bpf_dynptr d;
	char buffer[20] = {};
	__u32 sum = 3;

	bpf_dynptr_from_skb(skb, 0, &d);
	MIX(bpf_skb_change_tail(skb, 40, 0));
	MIX(bpf_dynptr_size(&d));
	MIX(bpf_dynptr_slice(&d, 30, buffer, 16) == 0);
	MIX(bpf_dynptr_read(buffer, 16, &d, 30, 0));
	MIX(bpf_dynptr_write(&d, 30, buffer, 16, 0));
	MIX(bpf_dynptr_read(buffer, 16, &d, 20, 0));
	MIX(bpf_dynptr_write(&d, 30, buffer, 4, 3));
	MIX(bpf_dynptr_write(&d, 30, buffer, 4, 8));
	MIX(bpf_dynptr_memset(&d, 30, 16, 1));
	MIX(bpf_dynptr_copy(&d, 0, &d, 30, 16));
	return sum;
}

SEC("cgroup_skb/egress") int read_only(struct __sk_buff *skb)
{
	struct bpf_dynptr d;
	char buffer[4] = {};
	__u32 sum = 3;

	MIX(bpf_dynptr_from_skb(skb, 0, &d));
	MIX(bpf_dynptr_is_rdonly(&d));
	MIX(bpf_dynptr_write(&d, 0, buffer, 4, 0));
	MIX(bpf_dynptr_memset(&d, 0, 4, 0));
	MIX(bpf_dynptr_size(&d));
	return sum == 0 ? 0 : 1;
}

SEC("xdp") int xdp_packets(struct xdp_md *xdp)
{
	struct bpf_dynptr d;
	char buffer[8] = {9, 8, 7, 6, 5, 4, 3, 2};
	__u32 sum = 3;
	__u8 *p;

	MIX(bpf_dynptr_from_xdp(xdp, 7, &d));
	MIX(bpf_dynptr_from_xdp(xdp, 0, &d));
	MIX(bpf_dynptr_size(&d));
	MIX(bpf_dynptr_write(&d, 6, buffer, 8, 0));
	MIX(bpf_dynptr_write(&d, 6, buffer, 8, 1));
	MIX(bpf_dynptr_read(buffer, 8, &d, 2, 0));
	p = bpf_dynptr_slice_rdwr(&d, 30, buffer, 8);
	if (p)
		*(__u64 *)p = 0x1122334455667788;
	MIX(bpf_xdp_adjust_tail(xdp, -20));
	MIX(bpf_dynptr_read(buffer, 8, &d, 50, 0));
	MIX(bpf_dynptr_memset(&d, 50, 8, 1));
	MIX(bpf_dynptr_slice(&d, 50, buffer, 8) == 0);
	return sum;
}

char area[64] = "0123456789abcdefghijklmnopqrstuvwxyz";
SEC("tc") int memory(struct __sk_buff *skb)
{
	struct bpf_dynptr d, n, s;
	char buffer[8] = {};
	__u32 sum = 3;
	int i;

	bpf_dynptr_from_mem(area, 40, 0, &d);
	bpf_dynptr_from_mem(area, 40, 5, &n);
	bpf_dynptr_from_skb(skb, 0, &s);
	MIX(bpf_dynptr_is_null(&n) + 2 * bpf_dynptr_is_rdonly(&n));
	MIX(bpf_dynptr_size(&n));
	MIX(bpf_dynptr_adjust(&n, 0, 0));
	MIX(bpf_dynptr_memset(&n, 0, 0, 1));
	MIX(bpf_dynptr_memset(&n, 0, 1, 1));
	MIX(bpf_dynptr_copy(&n, 0, &d, 0, 4));
	MIX(bpf_dynptr_copy(&d, 0, &n, 0, 4));
	MIX(bpf_dynptr_copy(&n, 0, &n, 0, 0));
	MIX(bpf_dynptr_copy(&n, 0, &n, 0, 1));
	MIX(bpf_dynptr_copy(&d, 4, &d, 0, 20));
	MIX(bpf_dynptr_copy(&s, 14, &d, 0, 20));
	MIX(bpf_dynptr_copy(&d, 30, &s, 0, 10));
	MIX(bpf_dynptr_copy(&d, 30, &s, 0, 11));
	MIX(bpf_dynptr_memset(&d, 2, 3, 'z'));
	MIX(bpf_dynptr_clone(&n, &s));
	MIX(bpf_dynptr_is_null(&s));
	bpf_for(i, 0, 40) MIX(area[i & 63]);
	return sum;
}

SEC("tc") int strings(struct __sk_buff *skb)
{
	__u32 sum = 3;
	int i, j;

	bpf_for(i, 0, 8) {
		char *x = words[i & 7];

		MIX(bpf_strlen(x));
		MIX(bpf_strnlen(x, 2));
		MIX(bpf_strchr(x, 'b') + 3 * bpf_strchr(x, 0));
		MIX(bpf_strchr(x, 0xff));
		MIX(bpf_strnchr(x, 2, 'b') + 3 * bpf_strnchr(x, 3, 'c') + 9 * bpf_strnchr(x, 0, 'a'));
		MIX(bpf_strchrnul(x, 'c') + 3 * bpf_strchrnul(x, 'q'));
		MIX(bpf_strrchr(x, 'b') + 3 * bpf_strrchr(x, 'e') + 7 * bpf_strrchr(x, 0));
		MIX(bpf_strrchr(x, 0xff) + 5 * bpf_strrchr(x, -1));
		bpf_for(j, 0, 8) {
			char *y = words[j & 7];

			MIX(bpf_strcmp(x, y));
			MIX(bpf_strcasecmp(x, y));
			MIX(bpf_strspn(x, y));
			MIX(bpf_strcspn(x, y));
			MIX(bpf_strstr(x, y));
			MIX(bpf_strnstr(x, y, 0));
			MIX(bpf_strnstr(x, y, 3));
			MIX(bpf_strnstr(x, y, 6));
		}
	}
	return sum;
}

SEC("tc") int string_errors(struct __sk_buff *skb)
{
	__u32 sum = 3;

	__builtin_memset(big, 0, 8);
	MIX(bpf_strlen((void *)0));
	MIX(bpf_strcmp("", (void *)0));
	MIX(bpf_strcmp((void *)8, "a"));
	MIX(bpf_strstr("abc", (void *)0));
	MIX(bpf_strlen((void *)-8192));
	MIX(bpf_strspn("abc", (void *)-8192));
	return sum;
}

SEC("tc") int string_too_long(struct __sk_buff *skb)
{
	struct bpf_dynptr d;
	__u32 sum = 3;

	bpf_dynptr_from_mem(big, 70000, 0, &d);
	bpf_dynptr_memset(&d, 0, 69999, 'a');
	MIX(bpf_strlen(big));
	MIX(bpf_strnlen(big, 65535));
	MIX(bpf_strnlen(big, 65536));
	MIX(bpf_strnchr(big, 70000, 'b'));
	MIX(bpf_strchr(big, 'b'));
	MIX(bpf_strchrnul(big, 'b'));
	MIX(bpf_strrchr(big, 'a'));
	MIX(bpf_strcmp(big, big));
	MIX(bpf_strstr("aaa", big));
	MIX(bpf_strcspn("b", big));
	return sum;
}

SEC("tc") int casts(struct __sk_buff *skb)
{
	return skb->len + (bpf_rdonly_cast(skb, 0) == (void *)skb);
}
