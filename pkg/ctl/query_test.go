package ctl

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestQuery(t *testing.T) {
	fleet := newFleet(t)
	success := func(data string) string { return `{"status":"success","data":` + data + `}` }
	fleet.queries = map[string]string{
		"node_load1": success(`{"resultType":"vector","result":[
			{"metric":{"__name__":"node_load1","job":"node","instance":"web-1"},"value":[1800000000.123,"0.25"]},
			{"metric":{"__name__":"node_load1","job":"node","instance":"web-with-a-long-name"},"value":[1800000000.123,"12"]}]}`),
		"odd": success(`{"resultType":"vector","result":[
			{"metric":{},"value":[1,"NaN"]},
			{"metric":{"__name__":"up"},"value":[1,"+Inf"]},
			{"metric":{"path":"C:\\<a>&\"b\"\n"},"value":[1,"1e-7"]},
			{"metric":{"__name__":"my.metric","my label":"x"},"value":[1,"123456789012345680000000"]},
			{"metric":{"__name__":"h"},"histogram":[1,{"count":"1","sum":"2"}]}]}`),
		"node_load1[1m]": success(`{"resultType":"matrix","result":[
			{"metric":{"__name__":"node_load1","instance":"web-1"},"values":[[1800000000,"0.5"],[1800000015.001,"0.25"]]},
			{"metric":{"__name__":"h","instance":"web-1"},"histograms":[[1800000000,{"count":"1"}]]}]}`),
		"1 + 1":  success(`{"resultType":"scalar","result":[1800000000,"2"]}`),
		`"text"`: success(`{"resultType":"string","result":[1800000000,"text"]}`),
		"-up":    success(`{"resultType":"vector","result":[]}`),
		"sum(load)": `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"3"]}]},
			"warnings":["PromQL warning: half of the fleet did not answer"],"infos":["PromQL info: metric might not be a counter"]}`,
	}
	s := fleet.transcript(t)
	query := func(args ...string) { s.run(append([]string{"query", "--config", fleet.config}, args...)...) }
	for _, expr := range []string{"node_load1", "node_load1[1m]", "1 + 1", `"text"`} {
		query(expr)
		query("--output", "json", expr)
	}
	s.remark("names and values that need care")
	query("odd")
	s.remark("nothing found")
	query("--", "-up")
	query("--output", "json", "--", "-up")
	s.remark("remarks of the server")
	query("sum(load)")
	s.remark("another time")
	query("1 + 1", "--time", "2027-01-15T08:00:00.5Z")
	query("1 + 1", "--time", "1800000000.25")
	s.remark("what the server refuses")
	query("sum(")
	s.golden("query.golden")

	asked := fleet.asked[len(fleet.asked)-3:]
	if diff := cmp.Diff([]string{"1 + 1 1800000000.500", "1 + 1 1800000000.250", "sum( "}, asked); diff != "" {
		t.Errorf("the last queries (-want +got):\n%s", diff)
	}
}

func TestSeriesNames(t *testing.T) {
	for _, test := range []struct {
		metric map[string]string
		want   string
	}{
		{map[string]string{}, `{}`},
		{map[string]string{"__name__": "up"}, `up`},
		{map[string]string{"__name__": "job:up:sum"}, `job:up:sum`},
		{map[string]string{"a": "1"}, `{a="1"}`},
		{map[string]string{"__name__": "up", "b": "2", "a": "1"}, `up{a="1",b="2"}`},
		{map[string]string{"__name__": "up", "a": "<\\\"\n\t>"}, `up{a="<\\\"\n\t>"}`},
		{map[string]string{"__name__": "my.metric"}, `{"my.metric"}`},
		{map[string]string{"__name__": "my.metric", "a": "1"}, `{"my.metric",a="1"}`},
		{map[string]string{"__name__": "1up", "a:b": "1"}, `{"1up","a:b"="1"}`},
		{map[string]string{"__name__": "", "ä": "ü"}, `{"","ä"="ü"}`},
	} {
		if got := seriesName(test.metric); got != test.want {
			t.Errorf("%v: got %s, want %s", test.metric, got, test.want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", -1: "-1", 0.1: "0.1", 1e-6: "0.000001", 1.5e-7: "1.5e-07", 123456789: "123456789",
		1e20: "100000000000000000000", 1e21: "1e+21", -1e300: "-1e+300", math.Inf(1): "+Inf", math.Inf(-1): "-Inf"} {
		if got := number(v); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := number(math.NaN()); got != "NaN" {
		t.Errorf("got %s, want NaN", got)
	}
}
