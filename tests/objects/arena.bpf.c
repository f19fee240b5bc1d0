// SPDX-License-Identifier: Apache-2.0
// Memory that programs and user space share: lists, atomics, and globals in it.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define __arena __attribute__((address_space(1)))
#define __ksym __attribute__((section(".ksyms")))
#define ARENA 33 // BPF_MAP_TYPE_ARENA, which older headers do not have
#define ANY_NODE (-1)
#define USES_ARENA asm volatile("" ::"r"(&arena)) // a program has the arena that it mentions

struct {
	__uint(type, ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 100); // pages
} arena SEC(".maps");

extern void __arena *bpf_arena_alloc_pages(void *map, void __arena *addr, __u32 pages,
					   int node, __u64 flags) __ksym __weak;
extern void bpf_arena_free_pages(void *map, void __arena *ptr, __u32 pages) __ksym __weak;

struct node {
	struct node __arena *next;
	__u64 value;
};

struct node __arena *head;

__u64 __arena counted = 7; // global variables in the arena itself
__u32 __arena table[4] = {1, 2, 3, 4};

struct request {
	__u64 address;
	__u64 count;
	__u64 node;
	__u64 flags;
	__u64 answer;
};

SEC("syscall")
int allocate(struct request *ctx)
{
	ctx->answer = (__u64)bpf_arena_alloc_pages(&arena, (void __arena *)ctx->address,
						   ctx->count, ctx->node, ctx->flags);
	return 0;
}

SEC("syscall")
int release(struct request *ctx)
{
	bpf_arena_free_pages(&arena, (void __arena *)ctx->address, ctx->count);
	return 0;
}

SEC("syscall")
int build(struct request *ctx)
{
	struct node __arena *page = bpf_arena_alloc_pages(&arena, 0, 1, ANY_NODE, 0);
	__u32 i;

	if (!page)
		return 1;
	for (i = 0; i < 100; i++) {
		page[i].value = i * 3;
		page[i].next = head;
		head = &page[i];
	}
	ctx->answer = (__u64)page;
	return 0;
}

SEC("syscall")
int walk(struct request *ctx)
{
	struct node __arena *each = head;
	__u64 sum = 0;
	__u32 i;

	USES_ARENA;
	for (i = 0; i < 1000 && each; i++) {
		sum += each->value;
		each = each->next;
	}
	ctx->answer = sum;
	ctx->count = i;
	return 0;
}

// Widths, signs, offsets and atomics, at an address of the caller's choice.
SEC("syscall")
int touch(struct request *ctx)
{
	__u64 __arena *word = (void __arena *)ctx->address;
	__u8 __arena *byte = (void __arena *)ctx->address;
	__u16 __arena *half = (void __arena *)ctx->address;
	__u32 __arena *low = (void __arena *)ctx->address;
	__u64 sum = 0;

	USES_ARENA;
	word[0] = 0x1122334455667788;
	word[1] = ctx->flags;
	byte[3] = 0xfe;
	half[2] = 0x8001;
	sum += byte[3] * 3 + half[2] * 5 + low[1] * 7 + word[0];
	sum += __sync_fetch_and_add(&word[1], 5);
	sum += __sync_val_compare_and_swap(&word[1], ctx->flags + 5, 77);
	sum += __sync_lock_test_and_set(&low[4], 9);
	__sync_fetch_and_or(&word[1], 0x100); // without its result: Linux has no other in arenas
	sum += ((__s8 __arena *)byte)[3];
	sum += word[1];
	ctx->answer = sum;
	return 0;
}

// What an address that may not be there reads as; to where stores go.
SEC("syscall")
int stray(struct request *ctx)
{
	__u64 __arena *word = (void __arena *)ctx->address;

	USES_ARENA;
	if (ctx->flags)
		word[0] = ctx->flags;
	ctx->answer = word[ctx->count & 15];
	return 0;
}

SEC("syscall")
int globals(struct request *ctx)
{
	USES_ARENA;
	counted += table[1];
	table[2]++;
	ctx->answer = counted;
	ctx->address = (__u64)&counted;
	return 0;
}

char _license[] SEC("license") = "GPL";
