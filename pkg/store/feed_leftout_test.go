package store

// leftOutOf is the release of Prometheus whose scripts the list below is of: lines of another
// are others.
const leftOutOf = "v0.315.0"

const (
	needsHistograms = "it needs native histograms, which are not stored"
	needsStarts     = "it needs start timestamps, which are not stored"
)

// leftOut are the evaluations of Prometheus' own scripts that cannot come out as they say, by
// their lines, 1 being the first; none: all of the script. Native histograms and start timestamps are taken out of what is
// loaded.
var leftOut = []struct {
	script, reason string
	lines          []int
}{
	{"aggregators.test", needsHistograms, []int{
		239, 244, 252, 257, 370, 374, 378, 382, 386, 390, 396, 400, 404, 408, 412, 416, 447, 453, 459, 467, 474,
		520, 528, 573, 805, 809, 814, 817, 820, 825, 837, 841, 845, 850,
	}},
	{"extended_vectors.test", needsHistograms, []int{
		468, 471, 475, 478, 484, 487, 493, 497, 501, 504, 510, 515, 520, 526, 530, 534, 545, 555, 561, 570, 573,
		576, 579, 588, 592, 598, 607, 610, 622, 631, 642, 653, 664, 676, 686, 695, 698, 715, 742, 748, 751, 754,
		757, 760, 763, 769, 772, 775, 778,
	}},
	{"functions.test", needsHistograms, []int{
		47, 52, 92, 97, 245, 249, 256, 260, 264, 267, 271, 290, 295, 300, 328, 332, 339, 343, 347, 350, 353, 384,
		388, 445, 449, 536, 539, 542, 545, 548, 551, 695, 698, 701, 941, 1096, 1100, 1105, 1108, 1111, 1288, 1296,
		1350, 1378, 1381, 1400, 1403, 1477, 1632, 1652, 1660, 1672, 1684, 1785, 1787, 1880, 1882, 2055,
	}},
	{"histograms.test", needsHistograms, []int{
		72, 84, 96, 102, 108, 115, 123, 131, 140, 150, 176, 195, 215, 232, 249, 267, 285, 304, 322, 339, 354, 369,
		384, 403, 422, 441, 459, 479, 492, 505, 519, 533, 551, 561, 571, 581, 591, 601, 629, 637, 647, 659, 669,
		681, 691, 709, 721, 733, 743, 753, 764, 774, 784, 796, 804, 812, 820, 828, 836, 847, 855, 865, 873, 883,
		893, 904, 914, 925, 939, 954, 968, 983, 987, 991, 1008, 1048, 1081, 1084, 1102, 1110, 1120, 1123, 1134,
		1137, 1140, 1143, 1158, 1163, 1168, 1223, 1228, 1233,
	}},
	{"info.test", needsHistograms, []int{
		202,
	}},
	{"limit.test", needsHistograms, []int{
		34, 44, 49, 52, 56, 61, 66, 69, 72, 75, 79, 110, 114, 118, 123, 131, 139, 146, 154, 166, 169, 173,
	}},
	{"native_histograms.test", needsHistograms, nil},
	{"operators.test", needsHistograms, []int{
		292, 296, 299, 302, 305, 308, 312, 564, 568, 572, 576, 588, 592, 596, 600, 612, 616, 620, 624, 636, 640,
		644, 648, 660, 664, 668, 672, 684, 688, 692, 696, 745, 749, 753, 757, 761, 765, 769, 773, 777, 781, 785,
		789, 793, 797, 801, 805, 809, 813, 817, 821, 825, 829, 833, 837, 887, 891, 895, 899, 903, 907, 911, 915,
		919, 923, 927, 931, 969, 973,
	}},
	{"range_queries.test", needsHistograms, []int{
		93,
	}},
	{"start_timestamps.test", needsStarts, []int{
		8, 13, 18, 24, 42, 66, 74, 82, 144, 169, 189, 207, 210, 213, 217, 234, 240, 246, 259, 276, 284, 289, 305,
	}},
	{"subquery.test", needsHistograms, []int{
		146, 151,
	}},
}
