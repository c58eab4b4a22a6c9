"""minivae sample: draw from a trained model."""

from pathlib import Path

from minivae import checkpoint, figures
from minivae.cli import options, pictures
from minivae.cli.folders import make_folder


def add_to(verbs):
    verb = verbs.add_parser(
        "sample", help="draw from a trained model", formatter_class=options.Help,
        description="Draw a trained model's picture again: interpolations.png, the 20×20 plane of latent codes, where "
        "the code has 2 numbers; samples.png, 400 draws from the prior, elsewhere.")
    verb.add_argument("folder", type=Path, metavar="RUN", help="folder of a run, such as runs/denoising")
    verb.add_argument("--threshold", action="store_true", help="black and white: probabilities above ½ are white")
    verb.add_argument("--span", type=options.positive, metavar="SPAN", default=figures.SPAN,
                      help="the plane reaches from −SPAN to SPAN; 0.95 is the article's, 2 holds 91%% of the prior")
    verb.add_argument("--seed", type=options.count, metavar="N", default=0, help="of the draws from the prior")
    verb.add_argument("--out", type=Path, default=None, metavar="FOLDER", help="where to write; by default the run")
    verb.set_defaults(run=run, less="a smaller model takes less")


def run(args):
    model, config = checkpoint.load_model(args.folder)
    folder = args.out or (args.folder if args.folder.is_dir() else args.folder.parent)
    make_folder(folder)
    print(pictures.latent_picture(model, folder, args.span, args.threshold, args.seed,
                                  squares=config.get("data", {}).get("name") == "rectangles"))
    return 0
