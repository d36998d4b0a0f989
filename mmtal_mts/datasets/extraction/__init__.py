"""From video files to frames and optical flow that are read without decoding."""

from .extract import check_disk_space, extract_all, plan_extraction
from .flow import FLOW_METHODS, FlowEncoder, build_flow, decode_flow, encode_flow
from .sampled_video import SampledVideo, SamplingGrid, scale_frame
from .settings import LAYOUTS, ExtractionSettings
from .videos import VideoFile, find_videos

__all__ = [
    'FLOW_METHODS',
    'LAYOUTS',
    'ExtractionSettings',
    'FlowEncoder',
    'SampledVideo',
    'SamplingGrid',
    'VideoFile',
    'build_flow',
    'check_disk_space',
    'decode_flow',
    'encode_flow',
    'extract_all',
    'find_videos',
    'plan_extraction',
    'scale_frame',
]
