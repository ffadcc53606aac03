// What the machine can do: the same measures as ours and CPython's, in C and without
// any safety but that of the robust mutex. "limits MEASURE" prints "MEASURE VALUE".
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FREE_OPS = 2000000, TURNS = 4000, RING = 1 << 16, KILLS = 150 };
static const double span = 0.4; // seconds that a measure of throughput lasts

static struct {
	pthread_mutex_t mutex;
	sem_t sem;
	_Atomic uint32_t turn;
	uint64_t count;
	_Alignas(64) _Atomic uint64_t head;
	_Alignas(64) _Atomic uint64_t tail;
	_Atomic uint64_t killed; // nanoseconds
	_Atomic int held;
	uint64_t ring[RING];
} *s;

static uint64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static pid_t child(void) {
	pid_t p = fork();
	if (p == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
	return p;
}

static void reap(pid_t p) {
	kill(p, SIGKILL);
	waitpid(p, NULL, 0);
}

static void lock(void) {
	if (pthread_mutex_lock(&s->mutex) == EOWNERDEAD) pthread_mutex_consistent(&s->mutex);
}

static double lock_free(void) {
	uint64_t t = now();
	for (int i = 0; i < FREE_OPS; i++) {
		lock();
		pthread_mutex_unlock(&s->mutex);
	}
	return (double)(now() - t) / FREE_OPS;
}

static double sem_free(void) {
	uint64_t t = now();
	for (int i = 0; i < FREE_OPS; i++) {
		sem_wait(&s->sem);
		sem_post(&s->sem);
	}
	return (double)(now() - t) / FREE_OPS;
}

static void pause_for(double seconds) {
	struct timespec t = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
	nanosleep(&t, NULL);
}

static double increments(int procs) {
	pid_t p[4];
	for (int i = 0; i < procs; i++)
		if ((p[i] = child()) == 0)
			for (;;) {
				lock();
				s->count++;
				pthread_mutex_unlock(&s->mutex);
			}
	pause_for(0.05);
	volatile uint64_t *count = &s->count;
	uint64_t first = *count, t = now();
	pause_for(span);
	double rate = (*count - first) / ((now() - t) / 1e9);
	for (int i = 0; i < procs; i++) reap(p[i]);
	return rate;
}

static void futex(int op, uint32_t v) { syscall(SYS_futex, &s->turn, op, v, NULL, NULL, 0); }

static void turns(uint32_t mine, int n) {
	for (int i = 0; i < n; i++) {
		while (atomic_load(&s->turn) != mine) futex(FUTEX_WAIT, !mine);
		atomic_store(&s->turn, !mine);
		futex(FUTEX_WAKE, 1);
	}
}

static double futex_ping_pong(void) {
	pid_t p = child();
	if (p == 0) {
		turns(1, TURNS);
		_exit(0);
	}
	uint64_t t = now();
	turns(0, TURNS);
	waitpid(p, NULL, 0);
	return (now() - t) / 1e3 / TURNS;
}

static double socket_ping_pong(void) {
	int fd[2];
	char c = 0;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd)) exit(1);
	pid_t p = child();
	if (p == 0) {
		while (read(fd[1], &c, 1) == 1 && write(fd[1], &c, 1) == 1) {}
		_exit(0);
	}
	uint64_t t = now();
	for (int i = 0; i < TURNS; i++)
		if (write(fd[0], &c, 1) != 1 || read(fd[0], &c, 1) != 1) exit(1);
	double us = (now() - t) / 1e3 / TURNS;
	reap(p);
	return us;
}

static double ring(void) {
	pid_t p = child();
	if (p == 0)
		for (uint64_t i = 0;; i++) {
			while (i - atomic_load_explicit(&s->tail, memory_order_acquire) >= RING) {}
			s->ring[i % RING] = i;
			atomic_store_explicit(&s->head, i + 1, memory_order_release);
		}
	uint64_t i = 0, sum = 0, t = now();
	do
		for (int k = 0; k < 10000; k++, i++) {
			while (atomic_load_explicit(&s->head, memory_order_acquire) == i) {}
			sum += s->ring[i % RING];
			atomic_store_explicit(&s->tail, i + 1, memory_order_release);
		}
	while (now() - t < span * 1e9);
	double rate = i / ((now() - t) / 1e9);
	reap(p);
	return sum ? rate : 0;
}

static double copy(size_t size) {
	char *a = malloc(size), *b = malloc(size);
	memset(a, 1, size);
	memset(b, 2, size);
	uint64_t n = 0, t = now();
	do
		for (int i = 0; i < 64; i++, n++) {
			memcpy(b, a, size);
			__asm__ volatile("" : : "r"(b) : "memory");
		}
	while (now() - t < 1e8);
	return n * size / ((now() - t) / 1e9);
}

// From SIGKILL of the owner of a robust mutex until the next one has it.
static void owner_killed(void) {
	for (int i = 0; i < KILLS; i++) {
		atomic_store(&s->held, 0);
		pid_t owner = child();
		if (owner == 0) {
			lock();
			atomic_store(&s->held, 1);
			for (;;) pause();
		}
		while (!atomic_load(&s->held)) {}
		pid_t killer = child();
		if (killer == 0) {
			pause_for(0.002); // by then the next one waits
			atomic_store(&s->killed, now());
			kill(owner, SIGKILL);
			_exit(0);
		}
		lock();
		printf("died %.6f\n", (now() - atomic_load(&s->killed)) / 1e6);
		pthread_mutex_unlock(&s->mutex);
		waitpid(owner, NULL, 0);
		waitpid(killer, NULL, 0);
	}
}

int main(int argc, char **argv) {
	s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s == MAP_FAILED || argc != 2) return 1;
	pthread_mutexattr_t a;
	pthread_mutexattr_init(&a);
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&s->mutex, &a);
	sem_init(&s->sem, 1, 1);
	const char *m = argv[1];
	double v;
	if (!strcmp(m, "lock") || !strcmp(m, "rlock")) v = lock_free();
	else if (!strcmp(m, "sem")) v = sem_free();
	else if (!strcmp(m, "inc2")) v = increments(2);
	else if (!strcmp(m, "inc4")) v = increments(4);
	else if (!strcmp(m, "event") || !strcmp(m, "cond")) v = futex_ping_pong();
	else if (!strcmp(m, "q11") || !strcmp(m, "q22") || !strcmp(m, "batch")) v = ring();
	else if (!strcmp(m, "q64k") || !strcmp(m, "into64k")) v = copy(64 << 10);
	else if (!strcmp(m, "q1m") || !strcmp(m, "into1m")) v = copy(1 << 20);
	else if (!strcmp(m, "pipe")) v = socket_ping_pong();
	else if (!strcmp(m, "died")) return owner_killed(), 0;
	else return 1;
	printf("%s %.6g\n", m, v);
	return 0;
}
