// use.cc - dcm.h from C++: every kind of call compiles, and links with libdcm.so.
#include <dcm.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>

static std::string text(const dcm_str &s)
{
	return s.s ? std::string(s.s, s.len) : std::string();
}

static int look(dcm *d)
{
	struct dcm_query q = {};
	struct dcm_refs refs = {};
	struct dcm_record r;
	struct dcm_view v;
	struct dcm_text t = {};
	double cpu = NAN;
	int rc;

	q.kind = DCM_Q_ALL;
	rc = dcm_query(d, &q, &refs);

	dcm_record_init(&r);
	for (size_t i = 0; i < refs.n && rc == DCM_OK; i++) {
		rc = dcm_read(d, refs.v[i], &r);
		std::printf("%s %s\n", text(r.host_id).c_str(), text(r.name).c_str());
		if (dcm_view(d, refs.v[i], DCM_STATS, &v) == DCM_OK &&
		    dcm_view_float(&v, DCM_F_cpu_percent, &cpu) && dcm_view_ok(&v))
			std::printf("%f\n", cpu);
		dcm_record_json(&r, &t);
	}
	dcm_text_free(&t);
	dcm_record_free(&r);
	dcm_refs_free(&refs);
	return rc;
}

int main()
{
	struct dcm_options opt = {};
	char err[512];
	dcm *d = nullptr;

	opt.size = sizeof(opt);
	opt.instance = "no-such-instance";
	opt.runtime_dir = "/no/such/dir";
	if (std::strcmp(dcm_version(), DCM_VERSION) != 0 ||
	    dcm_field_by_name("cpu_percent") != DCM_F_cpu_percent)
		return 1;
	if (dcm_open(&d, &opt, err, sizeof(err)) == DCM_OK)
		look(d);
	dcm_close(&d);
	return std::strstr(err, "no-such-instance") ? 0 : 1;
}
