// Arithmetic and memory: programs that call nothing.
//
// Compile: make -C benchmarks/programs
#include "bench.h"

SEC("xdp")
int checksum_64(struct xdp_md *ctx)
{
	BYTES(ctx, p);
	__u64 sum = 0;

	for (int i = 0; i < 16; i++)
		sum += ((__u32 *)p)[i];
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

SEC("xdp")
int sum_words_1k(struct xdp_md *ctx)
{
	BYTES(ctx, p);
	__u64 sum = 0;

	ROLLED for (int i = 0; i < SIZE / 8; i++)
		sum += ((__u64 *)p)[i];
	return sum & 0xffff;
}

#define SIPROUND                                                     \
	do {                                                         \
		v0 += v1; v1 = rol64(v1, 13); v1 ^= v0; v0 = rol64(v0, 32); \
		v2 += v3; v3 = rol64(v3, 16); v3 ^= v2;              \
		v0 += v3; v3 = rol64(v3, 21); v3 ^= v0;              \
		v2 += v1; v1 = rol64(v1, 17); v1 ^= v2; v2 = rol64(v2, 32); \
	} while (0)

SEC("xdp")
int siphash_256(struct xdp_md *ctx)
{
	BYTES(ctx, p);
	__u64 v0 = 0x736f6d6570736575ULL, v1 = 0x646f72616e646f6dULL;
	__u64 v2 = 0x6c7967656e657261ULL, v3 = 0x7465646279746573ULL;

	ROLLED for (int i = 0; i < 32; i++) {
		__u64 m = ((__u64 *)p)[i];

		v3 ^= m;
		SIPROUND;
		SIPROUND;
		v0 ^= m;
	}
	v2 ^= 0xff;
	SIPROUND;
	SIPROUND;
	SIPROUND;
	SIPROUND;
	return (v0 ^ v1 ^ v2 ^ v3) & 0xffff;
}

SEC("xdp")
int crc32_bits_64(struct xdp_md *ctx)
{
	BYTES(ctx, p);
	__u32 crc = ~0u;

	ROLLED for (int i = 0; i < 64; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++) {
			__u32 low = crc & 1;

			OPAQUE(low); // else the compiler makes a branch of it
			crc = crc >> 1 ^ 0xedb88320 * low;
		}
	}
	return ~crc & 0xffff;
}

#define SHA_STEP(i)                                                  \
	do {                                                         \
		__u32 s1 = rol32(e, 26) ^ rol32(e, 21) ^ rol32(e, 7); \
		__u32 t1 = h + s1 + ((e & f) ^ (~e & g)) + 0x428a2f98u * (i) + w[(i) & 15]; \
		__u32 s0 = rol32(a, 30) ^ rol32(a, 19) ^ rol32(a, 10); \
		__u32 t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));       \
		h = g; g = f; f = e; e = d + t1;                     \
		d = c; c = b; b = a; a = t1 + t2;                    \
		w[(i) & 15] += rol32(w[((i) + 14) & 15], 15) + w[((i) + 9) & 15]; \
	} while (0)

// Rounds shaped like those of SHA-256, over one block.
SEC("xdp")
int sha_like_block(struct xdp_md *ctx)
{
	BYTES(ctx, p);
	__u32 a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8, w[16];

	for (int i = 0; i < 16; i++)
		w[i] = bpf_ntohl(((__u32 *)p)[i]);
	ROLLED for (int i = 0; i < 64; i += 16) {
		SHA_STEP(0); SHA_STEP(1); SHA_STEP(2); SHA_STEP(3);
		SHA_STEP(4); SHA_STEP(5); SHA_STEP(6); SHA_STEP(7);
		SHA_STEP(8); SHA_STEP(9); SHA_STEP(10); SHA_STEP(11);
		SHA_STEP(12); SHA_STEP(13); SHA_STEP(14); SHA_STEP(15);
	}
	return (a + b + c + d + e + f + g + h) & 0xffff;
}

SEC("xdp")
int matrix_8x8(struct xdp_md *ctx)
{
	BYTES(ctx, p);
	__u32 *a = (void *)p, *b = (void *)(p + 256), sum = 0;

	ROLLED for (int i = 0; i < 8; i++)
		ROLLED for (int j = 0; j < 8; j++) {
			__u32 cell = 0;

			for (int k = 0; k < 8; k++)
				cell += a[(i * 8 + k) & 63] * b[(k * 8 + j) & 63];
			sum = sum * 31 + cell;
		}
	return sum & 0xffff;
}

SEC("xdp")
int murmur_alu32_1k(struct xdp_md *ctx)
{
	BYTES(ctx, p);
	__u32 h = 0x9747b28c;

	ROLLED for (int i = 0; i < SIZE / 4; i++) {
		__u32 k = ((__u32 *)p)[i] * 0xcc9e2d51;

		h ^= rol32(k, 15) * 0x1b873593;
		h = rol32(h, 13) * 5 + 0xe6546b64;
	}
	h ^= h >> 16;
	h *= 0x85ebca6b;
	h ^= h >> 13;
	return h & 0xffff;
}

SEC("xdp")
int xorshift_64(struct xdp_md *ctx)
{
	BYTES(ctx, p);
	__u64 x = *(__u64 *)(p + 32) | 1;

	ROLLED for (int i = 0; i < 256; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
	}
	return x & 0xffff;
}

SEC("xdp")
int div_mod_32(struct xdp_md *ctx)
{
	BYTES(ctx, p);
	__u32 sum = 0;

	ROLLED for (int i = 0; i < 64; i++) {
		__u32 y = p[i] + 1;

		sum += 1000003u / y + 1000003u % (y + 7);
	}
	return sum & 0xffff;
}

SEC("xdp")
int div_mod_64(struct xdp_md *ctx)
{
	BYTES(ctx, p);
	__u64 x = 0xfedcba9876543210ULL, sum = 0;

	ROLLED for (int i = 0; i < 64; i++) {
		sum += x / (p[i] + 3) + x % (p[i] + 1000);
		x ^= sum;
	}
	return sum & 0xffff;
}

SEC("xdp")
int copy_stack_256(struct xdp_md *ctx)
{
	BYTES(ctx, p);
	__u64 copy[32];

	for (int i = 0; i < 32; i++)
		copy[i] = ((__u64 *)p)[i];
	asm volatile("" : : "r"(copy) : "memory");
	return (copy[p[8] & 31] ^ copy[p[9] & 31]) & 0xffff;
}

SEC("xdp")
int sort_stack_16(struct xdp_md *ctx)
{
	BYTES(ctx, p);
	__u64 a[16];

	for (int i = 0; i < 16; i++)
		a[i] = p[i] ^ p[i + 26];
	asm volatile("" : : "r"(a) : "memory");
	ROLLED for (int i = 0; i < 15; i++)
		ROLLED for (int j = 0; j < 15; j++) {
			__u64 x = a[j & 15], y = a[(j + 1) & 15];

			a[j & 15] = x < y ? x : y;
			a[(j + 1) & 15] = x < y ? y : x;
		}
	return (a[0] << 8 | a[15]) & 0xffff;
}

SEC("xdp")
int histogram_stack(struct xdp_md *ctx)
{
	BYTES(ctx, p);
	__u16 counts[16] = {};

	ROLLED for (int i = 0; i < 256; i++)
		counts[p[i] & 15]++;
	return counts[0] ^ counts[5] << 4;
}

SEC("xdp")
int find_byte_1k(struct xdp_md *ctx)
{
	BYTES(ctx, p);

	ROLLED for (int i = 0; i < SIZE; i++)
		if (p[i] == 0xee)
			return i;
	return 0;
}

SEC("xdp")
int popcount_1k(struct xdp_md *ctx)
{
	BYTES(ctx, p);
	__u64 count = 0;

	ROLLED for (int i = 0; i < SIZE / 8; i++) {
		__u64 x = ((__u64 *)p)[i];

		x -= x >> 1 & 0x5555555555555555ULL;
		x = (x & 0x3333333333333333ULL) + (x >> 2 & 0x3333333333333333ULL);
		x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
		count += x * 0x0101010101010101ULL >> 56;
	}
	return count;
}
