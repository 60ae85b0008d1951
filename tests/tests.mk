# tests.mk - how the tests are built and run.  Included by ../Makefile; told in
# tests/README.md.
#
# `make check` runs every group named in CHECKS: the target check-NAME, whose
# output is TAP ("ok 1 - name", "not ok …", "ok 2 - name # SKIP why") or else
# whose exit status is one result.  To add a group: CHECKS += NAME and a target.

CHECKS := tree unit asan

# Every program of the tests that is linked with all parts.
TEST_PARTS := $(BUILD)/libclient.a $(BUILD)/libcollector.a $(BUILD)/libbroker.a \
	$(BUILD)/libwriter.a $(BUILD)/libdcm.a
TEST_LIBS   = $(COLLECTOR_LIBS) $(BROKER_LIBS) $(WRITER_LIBS) $(LIB_LIBS) -lm -lpthread

# ---- unit tests ----------------------------------------------------------------
# tests/unit/test_X.c -> $(BUILD)/tests/test_X, linked with the parts it uses.

UNIT_SRC  := $(wildcard tests/unit/test_*.c)
UNIT_BIN  := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(UNIT_SRC))

$(BUILD)/tests/test_%: $(BUILD)/obj/tests/unit/test_%.o $(TEST_PARTS)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(TEST_LIBS)

unit: $(UNIT_BIN)
	@set -e; for t in $(UNIT_BIN); do $$t; done

check-unit: $(UNIT_BIN)
	tests/run programs $(UNIT_BIN)

# ---- the same, and the whole programs, with ASan and UBSan ------------------------

ASAN := BUILD=$(BUILD)/asan OPT='-O1 -g' \
	SAN='-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer'

asan-build:
	$(MAKE) -j$$(nproc) $(ASAN) all test-programs
asan check-asan: asan-build
	$(MAKE) $(ASAN) check-unit

# ---- threads of the library, with TSan ---------------------------------------------
# tests/tsan/tsan_X.c -> $(BUILD)/tests/tsan_X.  Without address randomisation,
# whose widest setting gcc 12's TSan does not know.  It does not model fences either
# (-Wno-tsan): what it checks is that every word both sides touch is an atomic.

TSAN_SRC := $(wildcard tests/tsan/tsan_*.c)
TSAN_BIN := $(patsubst tests/tsan/%.c,$(BUILD)/tests/%,$(TSAN_SRC))

$(BUILD)/tests/tsan_%: $(BUILD)/obj/tests/tsan/tsan_%.o $(TEST_PARTS)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(TEST_LIBS)

tsan-programs: $(TSAN_BIN)
	setarch -R tests/run programs $(TSAN_BIN)
tsan check-tsan:
	$(MAKE) -j$$(nproc) BUILD=$(BUILD)/tsan OPT='-O1 -g' SAN='-fsanitize=thread -Wno-tsan' \
		tsan-programs

ifneq ($(TSAN_SRC),)
CHECKS += tsan
endif

# ---- fuzzing -----------------------------------------------------------------------
# tests/fuzz/fuzz_X.c, with clang's libFuzzer: `make fuzz` runs each for FUZZ_SECONDS
# (`make fuzz FUZZ='inspect logs'` those alone).  It begins with tests/fuzz/seeds/X and
# the engines' documents; what it finds on its way is kept in $(BUILD)/fuzz/corpus/X.

FUZZ_SECONDS ?= 60
FUZZ         ?= $(sort $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c)))

$(BUILD)/fuzz_%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(TEST_PARTS)
	$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(TEST_LIBS)

fuzz-programs: $(addprefix $(BUILD)/fuzz_,$(FUZZ))
fuzz:
	$(MAKE) -j$$(nproc) CC=clang WARN= BUILD=$(BUILD)/fuzz OPT='-O1 -g' FUZZ='$(FUZZ)' \
		SAN='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all' fuzz-programs
	@$(MAKE) -j$$(nproc) $(addprefix fuzz-run-,$(FUZZ))

fuzz-run-%:
	@mkdir -p $(BUILD)/fuzz/corpus/$*
	@$(BUILD)/fuzz/fuzz_$* -max_total_time=$(FUZZ_SECONDS) -timeout=10 -verbosity=0 \
		-print_final_stats=1 -max_len=65536 -dict=tests/fuzz/words.dict \
		-artifact_prefix=$(BUILD)/fuzz/$*- $(BUILD)/fuzz/corpus/$* \
		tests/fuzz/seeds/$* tests/data/engine >$(BUILD)/fuzz/$*.log 2>&1 || \
		{ tail -n 60 $(BUILD)/fuzz/$*.log; exit 1; }
	@echo "fuzz_$*: $(FUZZ_SECONDS) s," $$(sed -n 's/^stat::number_of_executed_units: */runs: /p; \
		s/^stat::peak_rss_mb: */peak MiB: /p' $(BUILD)/fuzz/$*.log)

# A short form of it.
check-fuzz:
	@if command -v clang >/dev/null; then \
		$(MAKE) fuzz FUZZ_SECONDS=3 && for x in $(FUZZ); do echo "ok fuzz_$$x"; done; \
	else echo 'ok fuzz # SKIP clang is not installed'; fi

CHECKS += fuzz

.PHONY: fuzz fuzz-programs

# ---- the shared memory under a writer that is killed (tests/stress) ------------------
# The regions alone, each program with its own build of them: as they are, with
# validation left out (must be seen to fail), and with the writer's stores counted.

REGION_SRC  := $(wildcard shm/region*.c) shm/names.c
STRESS_DEP  := $(REGION_SRC) $(wildcard tests/stress/*.[ch] shm/*.h)
STRESS_BIN  := $(addprefix $(BUILD)/tests/,stress_region stress_unvalidated stores_region)
STRESS_FULL := 20000000
stress_cc    = @mkdir -p $(@D); $(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(1) -o $@ $(2) $(REGION_SRC) -lxxhash

$(BUILD)/tests/stress_region: $(STRESS_DEP)
	$(call stress_cc,,tests/stress/stress_region.c)
$(BUILD)/tests/stress_unvalidated: $(STRESS_DEP)
	$(call stress_cc,-DDCM_TEST_NO_VALIDATION,tests/stress/stress_region.c)
$(BUILD)/tests/stores_region: $(STRESS_DEP)
	$(call stress_cc,-DDCM_TEST_STORES,tests/stress/stores_region.c)

# `make stress` is the proof, a minute or two; check-stress a short form of it.
stress: $(STRESS_BIN)
	tests/stress/run $(BUILD)/tests $(STRESS_FULL) 1
check-stress: $(STRESS_BIN)
	tests/stress/run $(BUILD)/tests 2000000 11

CHECKS += stress

# ---- everything is killed, and readers run (tests/chaos) -----------------------------
# Real engines with churn, faults at random.  `make chaos` takes CHAOS_SECONDS (ten
# minutes); CHAOS_SEED=N does again what seed N did.  check-chaos is a short form.

CHAOS_SECONDS ?= 600
CHAOS_READER  := $(BUILD)/tests/chaos_reader

$(CHAOS_READER): $(call obj,$(wildcard tests/chaos/*.c)) $(BUILD)/libdcm.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(WRITER_LIBS) $(LIB_LIBS) -lm -lpthread

chaos: all $(CHAOS_READER)
	tests/chaos/run $(BUILD) $(CHAOS_SECONDS) $(CHAOS_SEED)
check-chaos: all $(CHAOS_READER)
	tests/chaos/run $(BUILD) 20 $(CHAOS_SEED)

CHECKS += chaos
.PHONY: chaos

# ---- the library as others use it ----------------------------------------------------
# docs/examples/X.c -> $(BUILD)/examples/X, linked with libdcm.so as programs outside
# are; unit/test_examples.c runs them.  tests/library/run holds libdcm.so, its header
# (C++ too), its installation and its exports to what dcm.h promises.

EXAMPLES := $(patsubst docs/examples/%.c,$(BUILD)/examples/%,$(wildcard docs/examples/*.c))

$(BUILD)/examples/%: docs/examples/%.c shm/dcm.h | $(BUILD)/libdcm.so
	@mkdir -p $(@D)
	$(CC) -std=c11 $(OPT) $(WARN) $(SAN) -D_GNU_SOURCE -Ishm -o $@ $< -L$(BUILD) -ldcm \
		-Wl,-rpath,'$$ORIGIN/..'
$(BUILD)/tests/test_examples: | $(EXAMPLES)

examples: $(EXAMPLES)
check-library: all
	tests/library/run $(BUILD)

CHECKS += library
.PHONY: examples

# ---- figures, beside rivals -----------------------------------------------------------
# `make bench` installs the rivals, runs every part of tests/bench/run and writes
# docs/performance.md; `make bench PARTS=read` shows a part alone.

$(BUILD)/tests/bench_read: $(call obj,$(addprefix tests/bench/,bench_read.c beside.c fleet.c \
		measure.c rivals.c rivals_redis.c)) \
		$(BUILD)/libbroker.a $(BUILD)/libwriter.a $(BUILD)/libdcm.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ -llmdb -lhiredis $(BROKER_LIBS) $(WRITER_LIBS) $(LIB_LIBS) \
		-lm -lpthread

$(BUILD)/tests/fresh: $(call obj,tests/bench/fresh.c) $(BUILD)/libdcm.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(WRITER_LIBS) $(LIB_LIBS) -lm -lpthread

$(BUILD)/tests/bench_rates: $(call obj,$(addprefix tests/bench/,bench_rates.c fleet.c measure.c)) \
		$(TEST_PARTS)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(TEST_LIBS)

$(BUILD)/tests/meanwhile: $(call obj,tests/bench/meanwhile.c tests/bench/measure.c) $(BUILD)/libdcm.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(WRITER_LIBS) $(LIB_LIBS) -lm -lpthread

BENCH := $(addprefix $(BUILD)/tests/,bench_read bench_rates fresh meanwhile)

bench:
	scripts/install-deps --bench
	$(MAKE) all simengine $(BENCH)
	tests/bench/run $(BUILD) $(PARTS)

# Many hosts and many containers, in under ten minutes; docs/performance.md and docs/scale.png.
bench-scale:
	scripts/install-deps --bench
	$(MAKE) all simengine
	tests/bench/bench_scale.py $(BUILD) $(POINTS)

# Instructions of the hot paths, by callgrind, against tests/bench/instructions.txt;
# `make bench-check UPDATE=1` writes the figures there.
$(BUILD)/tests/paths: $(call obj,$(addprefix tests/bench/,paths.c fleet.c)) $(TEST_PARTS)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(TEST_LIBS)

bench-check check-bench: $(BUILD)/tests/paths all
	tests/bench/instructions $(BUILD) $(if $(UPDATE),--update)

CHECKS += bench
.PHONY: bench bench-scale bench-check

# ---- the simulated engine ----------------------------------------------------------

SIMENGINE := $(BUILD)/tests/simengine

$(SIMENGINE): $(call obj,$(wildcard tests/simengine/*.c))
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ -levent_core -ljson-c -lm

simengine: $(SIMENGINE)

# Clocks that a test sets, to be preloaded.
CLOCKS := $(BUILD)/tests/clocks.so

$(CLOCKS): tests/integration/clocks.c
	@mkdir -p $(@D)
	$(CC) -std=c11 $(OPT) $(WARN) -fPIC -shared -o $@ $<
test-programs: $(UNIT_BIN) $(SIMENGINE) $(CLOCKS) $(CHAOS_READER)

# ---- the programs against engines, real and simulated --------------------------------
# `make integration TESTS='fields commands'` runs those modules alone.

integration check-integration: all simengine $(CLOCKS)
	tests/integration/run $(BUILD) $(TESTS)
# The main stories again, with every program watched by ASan and UBSan.
check-asan-integration: asan-build
	tests/integration/run $(BUILD)/asan fields live secrets daemon.Processes simengine.Faults

CHECKS += integration asan-integration

# ---- all of them ---------------------------------------------------------------------

check-tree:
	scripts/check-tree

check:
	$(MAKE) all test-programs
	tests/run checks '$(MAKE)' $(CHECKS)

.PHONY: unit asan tsan stress asan-build simengine test-programs integration check check-tree \
	tsan-programs $(addprefix check-,$(CHECKS))
