"""The gradient checker's diagnosis: planted mistakes are found and named, and right layers are left alone."""

import numpy as np
import pytest
from few import few
from layers import ROWS
from planted import PAIR, PLANTED, x

import minivae as mv
from minivae import backend, nn
from minivae.debug.diagnosis.places import where
from minivae.debug.tables import copied, mapped

# One entry or one row of these is wrong, in a way that another mistake explains as well.
OTHERWISE_NAMED = {"ReLUMaskInverted", "KLSign", "KLForgetsMinusOne", "LastOutputHalved"}


def check(make, input, target, **options):
    if target is None:
        return mv.gradcheck(make(), input, **options)
    return mv.gradcheck_criterion(make(), input, target, **options)


@pytest.mark.parametrize(("name", "make", "input", "target", "kinds"), few(24, PLANTED),
                         ids=[each[0] for each in PLANTED])
def test_every_planted_mistake_is_found_and_explained(name, make, input, target, kinds):
    report = check(make, input, target, changes=bool({"missing path", "one change"} & set(kinds)))  # else rules alone
    assert not report.ok and report.diagnoses()
    errors = [each.error for each in report.checks if not each.ok]
    assert report.findings or report.inside or not max(errors) < 1000 * 1e-6  # which is the tolerance, with a margin
    text = str(report)
    first = report.diagnoses()[0]
    assert str(first) in text and "FAIL" in text
    assert name in OTHERWISE_NAMED or first.kind in kinds, first


def test_nearly_all_planted_mistakes_are_named():
    """The set is at least 40, and the share of rightly named 95 %."""
    assert len(PLANTED) >= 40 and OTHERWISE_NAMED <= {each[0] for each in PLANTED}
    assert len(OTHERWISE_NAMED) <= 0.05 * len(PLANTED)


class MeanOfDivergence(nn.GaussianKL):
    def update_output(self, input):
        super().update_output(input)
        self.divergence /= input[0].size
        return self.output


class VarianceForLogVariance(nn.GaussianKL):
    def update_output(self, input):
        super().update_output(input)
        mean, log_var = input
        self.divergence = 0.5 * float((mean * mean + np.expm1(2 * log_var) - log_var).sum())
        return self.output


@pytest.mark.parametrize("make", [MeanOfDivergence, VarianceForLogVariance])
def test_a_wrong_divergence_is_not_blamed_on_the_gradient_alone(make):
    """The check compares the two, and cannot know which of them is meant."""
    report = mv.gradcheck(make(), PAIR)
    assert not report.ok and "certain" not in str(report)
    if make is MeanOfDivergence:
        assert "12 times its size" in str(report) and ".mean() where .sum() belongs" in str(report)


def test_a_factor_may_be_the_forward_passs_and_a_criterion_has_no_grad_output():
    class Mean(nn.BCEWithLogitsCriterion):
        def update_output(self, input, target):
            return super().update_output(input, target) / target.size

    class ForgetsTarget(nn.BCEWithLogitsCriterion):
        def update_grad_input(self, input, target):
            return 1 / (1 + np.exp(-input))

    for make, said in ((Mean, "factor of all elements N·D in it, or the inverse in update_output"),
                       (ForgetsTarget, "the right one plus 1 times the target")):
        report = mv.gradcheck_criterion(make(), x(3, 4), np.round(x(3, 4, seed=5, low=0, high=1)))
        assert said in str(report) and "grad_output" not in str(report)


def test_new_gradient_arrays_are_not_said_to_be_never_computed():
    class Rebinds(nn.Linear):
        def acc_grad_parameters(self, input, grad_output, scale=1):
            self.grad_weight = self.grad_weight + scale * grad_output.T @ input
            self.grad_bias = self.grad_bias + scale * grad_output.sum(axis=0)

    for make in (lambda: Rebinds(5, 3), lambda: nn.Sequential(Rebinds(5, 3), nn.Tanh())):
        report = mv.gradcheck(make(), x(4, 5))
        assert not report.ok and all(check.ok for check in report.checks), str(report)
        assert {finding.kind for finding in report.diagnoses()} == {"rebound"}


def test_noise_that_is_not_held_is_not_taken_for_kinks():
    class NotHeld(nn.BernoulliNoise):
        def update_output(self, input):
            self.noise = backend.host_generator().random(input.shape) < self.p
            self.output = np.where(self.noise, 1 - input, input)
            return self.output

    report = mv.gradcheck(NotHeld(0.4), x(4, 5, low=0, high=1))
    assert "kink" not in str(report) and "gradients not compared" in str(report)
    assert [finding.kind for finding in report.diagnoses()] == ["noise not held"]


@pytest.mark.parametrize("seeds", [2, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize("row", [row for row in ROWS.values() if "gradient" not in row.excused],
                         ids=lambda row: row.name)
def test_no_false_alarm(row, seeds):
    """Float32 and float64 modules."""
    for dtype in ("float32", "float64"):
        for seed in range(seeds):
            backend.manual_seed(seed)
            module = row.make()
            module = module.double() if dtype == "float64" else module
            report = mv.gradcheck(module, row.input(seed=seed, dtype=np.dtype(dtype)), seed=seed)
            assert report.ok, f"{dtype}, seed {seed}\n{report}"


def _counting(cls):
    def update_output(self, input):
        self.calls = getattr(self, "calls", 0) + 1
        return mapped(lambda y: y * (1 + 0.1 * self.calls), cls.update_output(self, input))

    return {"update_output": update_output}, {"noise not held"}, "update_output changes self.calls"


def _keeping(cls):
    def update_grad_input(self, input, grad_output):
        self.of_input = copied(grad_output)
        return cls.update_grad_input(self, input, grad_output)

    def acc_grad_parameters(self, input, grad_output, scale=1):
        cls.acc_grad_parameters(self, input, getattr(self, "of_input", grad_output), scale)

    return ({"update_grad_input": update_grad_input, "acc_grad_parameters": acc_grad_parameters}, {"needs grad_input"},
            "uses what update_grad_input has left")


def _limited(cls):
    def update_grad_input(self, input, grad_output):
        def limit(grad):
            return np.clip(grad, -0.3 * np.abs(grad).max(), 0.3 * np.abs(grad).max())
        return mapped(limit, cls.update_grad_input(self, input, grad_output))

    return {"update_grad_input": update_grad_input}, {"cut"}, "the gradient is limited to"


def _centred(cls):
    def update_grad_input(self, input, grad_output):
        return mapped(lambda grad: grad - grad.mean(axis=0), cls.update_grad_input(self, input, grad_output))

    return {"update_grad_input": update_grad_input}, {"rows mixed", "sum along an axis"}, ""


def _short(cls):
    def update_grad_input(self, input, grad_output):
        return mapped(lambda grad: grad.astype(np.float32), cls.update_grad_input(self, input, grad_output))

    return {"update_grad_input": update_grad_input}, {"dtype"}, "is float32 in a module of float64"


LAYERS = [row for row in ROWS.values() if "gradient" not in row.excused and not row.make().children()]
LEARNING = [row for row in LAYERS if row.make().parameters()[0] and not isinstance(row.make(), nn.Divergence)]
NOISY = [row for row in LAYERS if isinstance(row.make(), nn.GaussianNoise | nn.BernoulliSampler)]


@pytest.mark.parametrize(("mistake", "row"), [
    *((_counting, row) for row in LAYERS), *((_keeping, row) for row in LEARNING), *((_centred, row) for row in NOISY),
    *few(4, [(_limited, row) for row in LAYERS]), *few(4, [(_short, row) for row in LAYERS])],
    ids=lambda each: getattr(each, "__name__", "") or each.name)
def test_a_mistake_has_its_name_in_every_layer(mistake, row):
    module = row.make()
    methods, kinds, said = mistake(type(module))
    module.__class__ = type(type(module).__name__, (type(module),), methods)
    first = mv.gradcheck(module, row.input(seed=1), changes=False).diagnoses()[0]
    assert first.kind in kinds and said in str(first), first


def test_an_input_that_forward_changes_is_no_counter():
    (make, input, target), = [each[1:4] for each in PLANTED if each[0] == "TanhOverwritesItsInput"]
    assert "two forward passes" not in str(check(make, input, target))


def test_a_container_of_ones_own_learns_without_a_gradient_of_its_input():
    class Residual(nn.Container):
        def update_output(self, input):
            return input + self[0].forward(input)

        def update_grad_input(self, input, grad_output):
            return grad_output + self[0].update_grad_input(input, grad_output)

        def acc_grad_parameters(self, input, grad_output, scale=1):
            self[0].acc_grad_parameters(input, grad_output, scale)

    module, input = Residual(nn.Sequential(nn.Linear(4, 4), nn.Tanh())), x(3, 4)
    assert mv.gradcheck(module, input).ok
    grads = []
    for needed in (True, False):
        module.zero_grad_parameters()
        module.forward(input)
        assert (module.backward(input, input * (1 + needed), need_grad_input=needed) is None) == (not needed)
        grads.append(module[0][0].grad_weight.copy())
    np.testing.assert_allclose(grads[0], 2 * grads[1], rtol=1e-5)


@pytest.mark.parametrize("name", ["SigmoidOverwritesOutput", "ForwardCounts", "BackwardCounts"])
def test_no_noise_is_supposed_where_none_is_drawn(name):
    (make, input, target), = [each[1:4] for each in PLANTED if each[0] == name]
    said = str(check(make, input, target))
    assert "draw noise with" not in said and "noise is drawn anew" not in said


def test_a_layer_that_cannot_be_run_by_itself_is_checked_in_its_container():
    label = nn.Label(2)
    model = nn.Sequential(nn.KeepLabel(label), nn.Linear(5, 3), nn.AppendLabel(label))
    assert mv.gradcheck(model, x(4, 5)).ok

    class Waits(nn.Identity):
        def update_grad_input(self, input, grad_output):
            self.grad_input = self.scale * grad_output  # which the layer behind it leaves
            return self.grad_input

    class Leads(nn.Sequential):
        def update_grad_input(self, input, grad_output):
            self[0].scale = 2
            grad = super().update_grad_input(input, grad_output)
            del self[0].scale
            return grad

        def backward(self, input, grad_output, scale=1, need_grad_input=True):
            self[0].scale = 2
            grad = super().backward(input, grad_output, scale, need_grad_input)
            del self[0].scale
            return grad

    report = mv.gradcheck(Leads(Waits(), nn.Tanh()), x(4, 5))
    assert not report.ok and "module (0) gives back something else than the derivative of the loss" in str(report)


def test_numbers_that_are_short_are_not_taken_for_float32():
    class Halves(nn.Module):
        def update_output(self, input):
            self.output = np.stack([np.sign(input), np.floor(input) / 4], axis=1)
            return self.output

        def update_grad_input(self, input, grad_output):
            return np.zeros(input.shape)

    assert "digits" not in str(mv.gradcheck(Halves(), x(3, 4)))
    for criterion in (nn.AbsCriterion(), nn.MSECriterion()):
        assert mv.gradcheck_criterion(criterion, x(1, 1), x(1, 1, seed=1)).ok


def test_steps_may_be_meant():
    report = mv.gradcheck(nn.HardOneHot(3, straight_through=True), x(2, 6))
    assert "as an estimator does (score function, straight-through), which no difference can check" in str(report)


def test_a_right_backward_is_not_blamed_for_what_the_forward_does_otherwise():
    for name in ("LinearForwardTransposed", "LinearForgetsItsRectifier", "SamplerTiles", "Unmoved"):
        (make, input, target), = [each[1:4] for each in PLANTED if each[0] == name]
        said = str(check(make, input, target))
        assert "computed from the weight" not in said and "without the noise" not in said
        assert "has to be multiplied" not in said


def test_equal_numbers_are_told_apart_at_another_size():
    """With 4 rows of 4 numbers, 4 is N, D and kh·kw: other batches and rows leave one of them."""
    class Mean(nn.Linear):
        def acc_grad_parameters(self, input, grad_output, scale=1):
            super().acc_grad_parameters(input, grad_output / len(input), scale)

    class OverRows(nn.AbsCriterion):
        def update_grad_input(self, input, target):
            return np.sign(input - target) / len(input)

    report = mv.gradcheck(Mean(4, 4), x(4, 4))
    assert [each.certainty for each in report.diagnoses()] == ["certain"] * 2
    assert all("a factor of 1 / the batch size N in it" in str(each) for each in report.diagnoses())
    report = mv.gradcheck_criterion(OverRows(size_average=True), x(4, 4), x(4, 4, seed=1))
    assert "certain: every entry is 4 times" in str(report) and "factor of the length of a row D in it" in str(report)


def test_a_factor_of_each_unit_or_row_is_not_blamed_on_windows():
    class Uneven(nn.Linear):
        axis = 1

        def update_output(self, input):
            count = np.arange(1, 4).reshape((1, 3) if self.axis else (3, 1))
            self.output = input @ self.weight.T + count * self.bias
            return self.output

    report = mv.gradcheck(Uneven(4, 3), x(3, 4))
    assert not report.ok and "window" not in str(report) and "certain" not in str(report)
    Uneven.axis = 0
    assert "window" not in str(mv.gradcheck(Uneven(4, 3), x(3, 4)))


def test_nothing_is_certain_that_cannot_be_tried_elsewhere():
    """A layer that takes one input only: its explanation fits, and is not proven."""
    class Half(nn.Tanh):
        def update_output(self, input):
            assert np.array_equal(np.round(input), np.round(x(3, 5)))
            return super().update_output(input)

        def update_grad_input(self, input, grad_output):
            return 0.37 * super().update_grad_input(input, grad_output)

    report = mv.gradcheck(Half(), x(3, 5))
    assert not report.ok and "every entry is 0.37 times" in str(report) and "certain" not in str(report)


def test_an_explanation_that_holds_by_accident_is_dropped():
    """Rows that are alike here make two mistakes look alike."""
    class FirstRow(nn.Linear):
        def acc_grad_parameters(self, input, grad_output, scale=1):
            self.grad_weight += scale * len(input) * np.outer(grad_output.sum(axis=0) / len(input), input[0])
            self.grad_bias += scale * grad_output.sum(axis=0)

    report = mv.gradcheck(FirstRow(5, 4), np.tile(x(1, 5), (3, 1)))
    assert not report.ok and {check.name for check in report.checks if not check.ok} == set()
    finding, = report.diagnoses()
    assert finding.kind == "wrong elsewhere" and "right at this input and these weights by luck" in str(finding)


SAID = [
    ("ConvolutionOfTheLastImage", "at 0, 1 of axis 0 (the batch)"),
    ("SequentialSkipsOne", "not call"),
    ("ConvolutionWeightSeesTheEdge", "at the borders of the image"),
    ("SigmoidClips", "is above 0.9"),
    ("ConcatTableHeadsExchanged", "it is grad_output[0]"),
    ("SoftPlusSharp", "2 times the input"),
    ("ConvolutionTurnedBackOfAHalfTurn", "turned by half a turn"),
    ("DilationForgotten", "at 1, 2 of axis 0 is shifted by 1, 2 along axis 1"),
    ("MeanOverTheWrongSides", "the quotient W of the input / H of the input"),
    ("RunsTwiceOnOneState", "runs 2 times"),
    ("BCEWithEpsilon", "plus 0.001"),
    ("GaussianWrongBracket", "0.5 times e^−v of the prediction[1]"),
    ("LinearForgetsTheBiasOfOneRow", "wrong for a batch of 1, and right for one of 2"),
    ("StatisticsFollowInEvaluation", "changes self.running_mean, and"),
    ("SumIsNotCleared", "the buffer 'sum'"),
    ("DropsInEvaluation", "backward does the same in both modes, and update_output does not"),
    ("CopiesGroupedAsByTile", "side by side, as numpy.repeat"),
    ("SoftmaxOverTheWholeCode", "a sum or mean over axis 1 runs over more than it should"),
    ("SoftmaxOverTheBatch", "axis 0 in backward and axis 1 in update_output"),
    ("SamplerTakesTheLastDrawsNoise", "the noise of the last draw for all"),
    ("BCEForgetsItsWeights", "1 / self.weights"),
    ("DrawsShareAlike", "weights of their own that add up to 1"),
    ("GradientInIntegers", "cut to whole numbers"),
    ("GradientLimited", "limited to ±0.1"),
    ("DropsOthersOnTheWayBack", "where the noise is"),
    ("LogCoshOfTwoAndAHalf", "where the derivative of update_output is tanh (2.5 · the input)"),
    ("ScaleWithoutItsExponential", "the input[1] stands where the derivative of update_output has e^v of the input[1]"),
    ("GateForgetsItsValue", "part 1 of 2 of the input along axis 1 is missing"),
    ("PoolingCropsAtTheCorner", "each output gives back is shifted by 1 along axis 2, 3 of the input"),
    ("PoolingNumbersAlongColumns", "the places of its window are numbered along rows in one pass"),
    ("PoolingCountsByTheHeight", "the places of the image are numbered by rows of 6 in one pass and of 4"),
    ("BiasInEveryWindow", "update_output counts each entry of the parameter up to 2 times"),
    ("SlopeCountsEveryInput", "outputs where the size of the input is below"),
    ("SlopeLeavesInputsOut", "nothing comes back from outputs where the size of the input is below"),
    ("SecondHeadForgetsItsExponential", "as where a derivative is left out"),
    ("ForgetsTheDirectWay", "by the direct way"),
    ("ForgetsAnOutputOfItsTable", "nothing comes back from output[1], all else"),
    ("DrawsTiledInBothPasses", "row k of the output belongs to row k mod N of the input"),
    ("LearnsInHalfTheDigits", "the gradient of weight has the digits of float32 only"),
    ("FrameRepeatsTheEdge", "as where a border is mirrored or copied"),
    ("LabelGivesBackInTheWrongColumns", "module (0) gives back something else"),
    ("LabelGivesBackInTheWrongColumns", "what belongs at 3, 4 of axis 1 is added at 0, 1"),
    ("LogSoftmaxOfTheInput", "tanh v of the input, where the derivative of update_output has e^v of the output"),
    ("RowsOfVarianceOverDLessOne", "a factor of (D − 1) / D, as of a variance over D − 1"),
    ("PlanesAveragedByTheirNumber", "is 12 times what it should be: there is a factor of the positions H·W"),
    ("RootOfMeanSquareTakenForASum", "a factor of the length of a row D"),
    ("CountsTakenForShares", "one has 1, the other the sum of the target over each row"),
    ("DivergenceOverTheWholeCode", "a sum or mean over axis 1 runs over more than it should"),
    ("PriorNormalisedOverTheVariables", "another axis in one of them, axis 0 in backward and axis 1 in update_output"),
    ("ScaleForgetsTheResidual", "does not depend on the prediction[0] and the target"),
    ("PosteriorWithoutItsPrior", "does not depend on the prediction[1]"),
    ("LossOfTheWrongConstant", "all of it but the term -1 times the target has the opposite sign"),
    ("LaplaceWithoutItsAbsoluteValue", "an absolute value is missing"),
    ("ChargedRowByRow", "its mean over the batch is to decide"),
    ("TableOfTheBatchesSoftmax", "the softmax of the input along axis 0, where the softmax of the input along axis 1"),
    ("MeanOverTheOtherAxis", "another axis in one of them, axis 1 in backward and axis 2 in update_output"),
    ("MeanOfTheBatchTakenForAConstant", "the gradient's own mean over each column has to be subtracted"),
    ("LossTakesAMeanForAConstant", "the gradient's own mean over each row has to be subtracted"),
    ("LeakyMaskOnly", "there 0.2 times grad_output belongs"),
    ("MaximaAreAssigned", "keeps the last share alone"),
    ("GatherTakesTheLargest", "keeps the largest share alone"),
    ("MeanOfTheTargets", "a factor of 1 / the rows of the target in it"),
    ("AttentionForgetsItsShares", "in which a factor, the output[1], is missing"),
    ("RunningSumHasAFactorTooMany", "grad_output[1] has not to be multiplied by the output[1]"),
    ("LabelOfDrawsIsSummedOtherwise", "of the grad_output of module (3), backward takes rows l·N + n"),
    ("SpareOutputThatIsRead", "overwritten it since forward, as `spare_output = True` of (1) allows"),
    ("SequentialOneOffBehindAnInPlaceLayer", "module (1) is given another input in backward"),
    ("OverlapIsAssignedInForward", "or update_output leaves out or overwrites what these entries add"),
    ("RootOfTheLengthOnlyInForward", "a factor of √ of the length of a row D in it"),
    ("ContextOfTheLastDraw", "the sum over the draws of grad_output is wrong: backward takes the last draw"),
    ("RowsNormalisedSumTheInput", "times the input, where (the output − bias) / weight, which is the normalised input"),
    ("LogCoshOfDraws", "the gradient is the prediction − the target, which is not the derivative"),
    ("SoftestDraw", "add up to 1 over all draws of the batch in backward, and over the L draws of each row in"),
    ("SignsOfBytes", "as 255 for −1: integers of 8 bits without a sign wrap"),
    ("SignsOfTwoBytes", "as 65535 for −1: integers of 16 bits without a sign wrap"),
    ("MixedTwiceTransposed", "would be right with self.mix transposed"),
    ("CubesOfRowsForgetAPower", "only what comes back from output[1] is wrong: the factor the input is missing"),
    ("DrawsForgetTheScaleOfTheirRow", "grad_output[1] has first to be multiplied by the input[0]"),
    ("DilatedSumsBackDense", "goes to inputs 2 times as near to one another, along axis 3"),
    ("ThereAndBackRepeatsTheEnd", "from the outputs at 4, 5, 6 of axis 1 goes to inputs 1 off along axis 1"),
    ("MixtureWeighsAllAlike", "the derivative of update_output mixes the places along axis 0 and 1, and the gradient"),
    ("SoftestDrawOfOthers", "add up to 1 over the rows of the batch in backward, and over the L draws of each row in"),
    ("SoftestDrawWithWeights", "depends on the place along axis 0 only, from 1 to 3: a factor of each row is wrong"),
    ("SquaresOfScaledTargets", "the gradient of a row depends on the targets of other rows"),
    ("LargestHalvesOnOldNumbers", "leaves in its array what was there before this call"),
    ("LoopKeepsWhatItsModuleOverwrites", "self.sums holds one array in several places"),
    ("GainBehindTheMeans", "would be right if self.gain multiplied grad_output before the sums"),
    ("GateGivesNothingBack", "update_grad_input of module (1) is not called"),
    ("FollowsInEvaluation", "have to follow in training mode only"),
    ("GeluOfTwoFormulas", "the first terms of a series"),
    ("KeepsTheNumberOfRows", "one row more it is another than in a copy that was never called with fewer"),
    ("FailsForAnotherNumberOfRows", "or fails: a number of rows"),
    ("ScalesWhatWasAddedBefore", "what earlier passes have added is multiplied by scale too"),
    ("CubesOfDrawsSummedOtherwise", "backward takes rows l·N + n for row n, and update_output has made rows n·L + l"),
    ("LogisticOfAllPairs", "compares each row with all others"),
]


@pytest.mark.parametrize(("name", "said"), few(6, SAID))
def test_the_places_of_a_mistake_are_said(name, said):
    (make, input, target), = [each[1:4] for each in PLANTED if each[0] == name]
    assert said in str(check(make, input, target))


class TwoRowsOfTheWeight(nn.Linear):
    """The gradient of the first two rows of the weight is bent; the layer is too large for rules that move all."""

    def acc_grad_parameters(self, input, grad_output, scale=1):
        bent = np.ones_like(self.weight)
        bent[:2] = np.sort(self.weight[:2]) + np.cos(5 * self.weight[:2])
        self.grad_weight += scale * bent * (grad_output.T @ input)
        self.grad_bias += scale * grad_output.sum(axis=0)


def test_no_axis_of_a_parameter_is_the_batch():
    layer = TwoRowsOfTheWeight(80, 60)
    layer.weight[...] = np.random.default_rng(1).uniform(-1, 1, (60, 80))
    report = mv.gradcheck(layer, np.random.default_rng(2).standard_normal((3, 80)), changes=False)
    assert "it is wrong at 0, 1 of axis 0, and right elsewhere" in str(report), report
    mask = np.arange(4)[:, None] < [2, 2, 2]
    assert where(mask) == "at 0, 1 of axis 0 (the batch)"


def test_columns_that_begin_elsewhere_are_named():
    make, input = next((make, input) for name, make, input, _, _ in PLANTED if name == "ColumnsByNumber")
    report = mv.gradcheck(make(), input, changes=False)
    assert "it begins at column 2 of grad_output, and should at 5" in str(report), report
