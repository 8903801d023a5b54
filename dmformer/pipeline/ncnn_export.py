"""What ncnn's engines are not made of, said before anything is read."""

from __future__ import annotations

from dmformer.errors import UsageError
from dmformer.pipeline.engines import EngineMaker
from dmformer.pipeline.options import ExportOptions


class NcnnMaker(EngineMaker):
    """See `dmformer.pipeline.maker.Maker`: blobs of floats and of fixed sizes."""

    def check(self, options: ExportOptions) -> None:
        super().check(options)
        if options.dynamic_size:
            raise UsageError(f"--dynamic-size is not for {self.target.name}", "export a bundle for each --imgsz")
        if options.embed_preprocessing:
            raise UsageError(
                f"--embed-preprocessing is not for {self.target.name}, which takes no bytes",
                "leave it out: the preprocessing is in the manifest",
            )
