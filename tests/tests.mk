# tests.mk - how the tests are built and run.  Included by ../Makefile.

# tests/unit/test_X.c -> $(BUILD)/tests/test_X, linked with the parts it uses.
UNIT_SRC  := $(wildcard tests/unit/test_*.c)
UNIT_BIN  := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(UNIT_SRC))

$(BUILD)/tests/test_%: $(BUILD)/obj/tests/unit/test_%.o $(BUILD)/libclient.a $(BUILD)/libcollector.a \
		$(BUILD)/libbroker.a $(BUILD)/libwriter.a $(BUILD)/libdcm.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(COLLECTOR_LIBS) $(BROKER_LIBS) $(WRITER_LIBS) $(LIB_LIBS) -lm -lpthread

unit: $(UNIT_BIN)
	@set -e; for t in $(UNIT_BIN); do $$t; done

.PHONY: unit
