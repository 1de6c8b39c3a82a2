"""Small volumes for the tests: NIfTI files and DICOM series as nibabel and pydicom write them, and made-up ones."""

import itertools
import tempfile
from pathlib import Path

import nibabel
import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from datamodules.sources.base import SourceCase, VolumeSource
from partial_labels.case_table import CaseRow
from partial_labels.classes import ClassTable
from partial_labels.errors import InputError

ORIENTATIONS = [
    "".join(letters[i] for letters, i in zip(order, picks, strict=True))
    for order in itertools.permutations(["LR", "PA", "IS"])
    for picks in itertools.product([0, 1], repeat=3)
]
"""The 48 ways in which a volume can lie on disk."""


def lying(array, orientation, spacing=(1.0, 1.0, 1.0)):
    """Turn an (R, A, S) array of voxels to lie on disk as the letters say; return it with its affine."""
    wanted = nibabel.orientations.axcodes2ornt(orientation)
    image = nibabel.Nifti1Image(array, np.diag([*spacing, 1.0]))
    turned = image.as_reoriented(nibabel.orientations.ornt_transform(nibabel.io_orientation(image.affine), wanted))
    return np.asarray(turned.dataobj), turned.affine


def write(path: Path, array, affine=None, orientation="RAS", spacing=(1.0, 1.0, 1.0)):
    """Write an (R, A, S) array as NIfTI, turned to lie as the letters say."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if affine is None:
        array, affine = lying(array, orientation, spacing)
    nibabel.Nifti1Image(array, affine).to_filename(path)
    return path


def write_series(folder: Path, array, spacing=(1.0, 1.0, 1.0), slope=1, intercept=0, uid=None, patient="p", **tags):
    """Write an (R, A, S) array of stored int16 values as an axial DICOM series, files in an order that says nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    uid = uid or generate_uid()
    order = np.random.default_rng(0).permutation(array.shape[2])
    for number in range(array.shape[2]):
        # columns run to the left, rows to the back: the DICOM way of an axial slice
        pixels = np.ascontiguousarray(array[::-1, ::-1, number].T)
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        dataset.Modality, dataset.PatientID, dataset.SeriesInstanceUID = "CT", patient, uid
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.PixelSpacing = [spacing[1], spacing[0]]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        right, front = (array.shape[0] - 1) * spacing[0], (array.shape[1] - 1) * spacing[1]
        dataset.ImagePositionPatient = [-right, -front, number * spacing[2]]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit, dataset.PixelRepresentation = 15, 1
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
        dataset.PixelData = pixels.astype("<i2").tobytes()
        for name, value in tags.items():
            setattr(dataset, name, value)
        dataset.save_as(folder / f"{order[number]:04d}.dcm", enforce_file_format=True)
    return folder


class MadeVolumes(VolumeSource):
    """Volumes made of numbers; counts its readings in a folder, since each may happen in another process."""

    def __init__(self, readings: Path, slices=(2, 0, 3), version="1", fails=None):
        self.name = "made"
        self.readings, self.slices, self.version, self.fails = readings, slices, version, fails
        readings.mkdir(exist_ok=True)

    @property
    def classes(self):
        return ClassTable.from_foreground(["liver", "spleen"])

    @property
    def volumes(self):
        return [f"v{number}" for number in range(len(self.slices))]

    def options(self):
        return self.version

    def volume_fingerprint(self, number):
        return f"{number} {self.slices[number]}"

    def read(self, number):
        Path(tempfile.mkdtemp(prefix=f"v{number}.", dir=self.readings))
        for index in range(self.slices[number]):
            if (number, index) == self.fails:
                raise InputError(f"v{number}: made to fail")
            yield made_slice(number, index)


def made_slice(number, index):
    """Return a slice of a volume, larger from volume to volume."""
    shape = (8, 8 + 2 * number)
    image = np.random.default_rng([number, index]).integers(0, 256, shape).astype(np.uint8)
    label = np.zeros(shape, np.uint8)
    label[index] = 1
    row = CaseRow(f"v{number}_{index}", f"v{number}", f"v{number}", index)
    return SourceCase(row, image, label, np.array([False, True, False]), spacing_mm=(1.0, 1.0 + number))
