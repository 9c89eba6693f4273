"""Devices that are not here: what their compute units share, and what their memory gives."""
import dataclasses


@dataclasses.dataclass
class Hardware:
    """One compute unit: what its work-groups share. Where occupancy ends, by the vendors' manuals."""
    name: str
    lanes: int = 0           # of a wave; 0: the compiler chooses
    simds: int = 4           # that run waves side by side
    waves: int = 16          # that one of them holds at most
    registers: int = 0       # of a lane, shared by the waves of a SIMD; 0: each wave has its own set
    granule: int = 8         # registers are given out in steps of so many
    by_registers: tuple = () # (registers of a wave, waves) where a wave's set is of several sizes
    local: int = 64 << 10    # bytes
    groups: int = 32         # at most
    board: str = ""          # one that has them, for the estimates; "": none is known
    units: int = 0
    bandwidth: int = 0       # of its memory, 10^9 bytes a second
    clock: float = 0         # GHz
    latency: float = 0.7     # of its memory, microseconds
    wide: int = 0            # lanes that a SIMD serves in a cycle; 0: as many as a wave has

    def cycles_of(self, lanes):
        """That a wave's instruction takes of its SIMD."""
        return max(lanes / (self.wide or self.lanes or lanes), 1)

    def most_waves(self, kernel):
        """On a SIMD, by what each wave takes."""
        if kernel.waves is not None:
            return min(self.waves, kernel.waves)
        if kernel.registers is None:
            return self.waves
        if self.by_registers:
            return next((waves for registers, waves in self.by_registers
                         if kernel.registers <= registers), 0)
        if self.registers:
            given = -(-max(kernel.registers, 1) // self.granule) * self.granule
            return min(self.waves, self.registers // given)
        return self.waves

    def groups_at_a_time(self, kernel, group):
        waves = -(-group // (kernel.lanes or self.lanes or 1))
        groups = min(self.groups, self.most_waves(kernel) * self.simds // waves)
        if kernel.local:
            groups = min(groups, self.local // kernel.local)
        return groups

    def occupancy(self, kernel, group):
        """Waves on each SIMD while groups of the kernel fill the unit; 0 if not one group fits."""
        waves = -(-group // (kernel.lanes or self.lanes or 1))
        return self.groups_at_a_time(kernel, group) * waves / self.simds


@dataclasses.dataclass
class Kernel:
    """What a compiler tells of a compiled kernel. None: it does not tell."""
    name: str
    registers: int = None
    spills: int = 0          # registers, or bytes where the compiler counts these
    scalar_spills: int = 0   # registers of a whole wave, put into lanes of a vector register
    scratch: int = 0         # bytes of memory that stand in for registers, of a lane or a wave
    local: int = 0           # bytes of local memory
    lanes: int = 0
    calls: int = 0           # calls that are left, or functions that are nowhere
    waves: int = None        # that a SIMD holds, where the compiler itself says so
    instructions: int = None
    wide_loads: int = None   # of 16 bytes a lane, of global memory
    loads: int = None        # of it, all


# Waves, registers and local memory: Intel's programmer's reference manuals (threads of an execution
# unit, units of a subslice or Xe-core), AMD's instruction set manuals with LLVM's AMDGPU guide, CUDA's
# guide. Boards: their makers' data sheets; the latencies are of the order that is published of such
# parts, and no measurements of ours.
GEN9 = Hardware("Intel Gen9", wide=8, simds=8, waves=7, groups=16,
                board="HD Graphics 530", units=3, bandwidth=34, clock=1.05, latency=0.3)
GEN12 = Hardware("Intel Gen12", wide=8, simds=16, waves=7, local=128 << 10,
                 board="Iris Xe, 96 units", units=6, bandwidth=68, clock=1.3, latency=0.4)
DG2 = Hardware("Intel DG2", wide=8, simds=16, waves=8, local=128 << 10,
               board="Arc A770", units=32, bandwidth=560, clock=2.1)
MTL = Hardware("Intel Xe-LPG", wide=8, simds=16, waves=8, local=128 << 10,
               board="Core Ultra 165H", units=8, bandwidth=120, clock=2.3, latency=0.5)
# Beyond 128 registers a hardware thread has 256, and a unit half as many threads.
XE2_SETS = ((128, 8), (256, 4))
# From Xe3 on a thread has what it needs, in steps of 32 registers, and a unit ten threads of the
# smallest sets.
XE3_SETS = ((96, 10), (128, 8), (160, 6), (192, 5), (256, 4), (512, 2))
PVC = Hardware("Intel Xe-HPC", wide=16, simds=8, waves=8, by_registers=XE2_SETS, local=128 << 10,
               board="Max 1100", units=56, bandwidth=1229, clock=1.55)
BMG = Hardware("Intel Xe2", wide=16, simds=8, waves=8, by_registers=XE2_SETS, local=128 << 10,
               board="Arc B580", units=20, bandwidth=456, clock=2.67)
LNL = Hardware("Intel Xe2 LPG", wide=16, simds=8, waves=8, by_registers=XE2_SETS, local=128 << 10,
               board="Core Ultra 258V", units=8, bandwidth=136, clock=1.95, latency=0.5)
PTL = Hardware("Intel Xe3", wide=16, simds=8, waves=10, by_registers=XE3_SETS, local=128 << 10,
               board="Core Ultra X9 388H", units=12, bandwidth=154, clock=2.5, latency=0.5)

GCN4 = Hardware("AMD GCN 4", wide=16, lanes=64, waves=10, registers=256, granule=4,
                board="RX 480", units=36, bandwidth=256, clock=1.27)
VEGA20 = Hardware("AMD GCN 5", wide=16, lanes=64, waves=10, registers=256, granule=4,
                  board="Radeon VII", units=60, bandwidth=1024, clock=1.75)
CDNA2 = Hardware("AMD CDNA 2", wide=16, lanes=64, waves=8, registers=512,
                 board="MI210", units=104, bandwidth=1638, clock=1.7)
CDNA3 = Hardware("AMD CDNA 3", wide=16, lanes=64, waves=8, registers=512,
                 board="MI300X", units=304, bandwidth=5300, clock=2.1)
CDNA4 = Hardware("AMD CDNA 4", wide=16, lanes=64, waves=8, registers=512, local=160 << 10,
                 board="MI355X", units=256, bandwidth=8000, clock=2.4)
# From RDNA on a unit is a work-group processor: two compute units, which share local memory.
RDNA1 = Hardware("AMD RDNA 1", lanes=32, waves=20, registers=1024, local=128 << 10,
                 board="RX 5700 XT", units=20, bandwidth=448, clock=1.9)
RDNA2 = Hardware("AMD RDNA 2", lanes=32, registers=1024, granule=16, local=128 << 10,
                 board="RX 6900 XT", units=40, bandwidth=512, clock=2.25)
RDNA3 = Hardware("AMD RDNA 3", lanes=32, registers=1536, granule=24, local=128 << 10,
                 board="RX 7900 XTX", units=48, bandwidth=960, clock=2.5)
RDNA3_5 = dataclasses.replace(RDNA3, name="AMD RDNA 3.5", board="Radeon 8060S", units=20,
                              bandwidth=256, clock=2.9)
RDNA4 = dataclasses.replace(RDNA3, name="AMD RDNA 4", board="RX 9070 XT", units=32, bandwidth=640,
                            clock=2.97)
GFX1250 = Hardware("AMD gfx1250", lanes=32, registers=1024, granule=16, waves=16,
                   local=320 << 10)

TURING = Hardware("NVIDIA Turing", wide=16, lanes=32, waves=8, registers=512, groups=16,
                  board="T4", units=40, bandwidth=320, clock=1.59, latency=0.6)
AMPERE = Hardware("NVIDIA A100", wide=16, lanes=32, registers=512, local=164 << 10,
                  board="A100 40 GB", units=108, bandwidth=1555, clock=1.41)
AMPERE_86 = Hardware("NVIDIA Ampere", lanes=32, waves=12, registers=512, groups=16, local=100 << 10,
                     board="RTX 3090", units=82, bandwidth=936, clock=1.7, latency=0.6)
ADA = Hardware("NVIDIA Ada", lanes=32, waves=12, registers=512, groups=24, local=100 << 10,
               board="RTX 4090", units=128, bandwidth=1008, clock=2.52, latency=0.6)
HOPPER = Hardware("NVIDIA H100", lanes=32, registers=512, local=228 << 10,
                  board="H100 SXM", units=132, bandwidth=3350, clock=1.83)
BLACKWELL = Hardware("NVIDIA B200", lanes=32, registers=512, local=228 << 10,
                     board="B200", units=148, bandwidth=8000, clock=1.85, latency=0.8)
BLACKWELL_120 = Hardware("NVIDIA Blackwell", lanes=32, waves=12, registers=512, groups=24,
                         local=100 << 10, board="RTX 5090", units=170, bandwidth=1792, clock=2.41)
GB10 = dataclasses.replace(BLACKWELL_120, name="NVIDIA GB10", board="GB10", units=48, bandwidth=273,
                           clock=2.4)

# Lanes of a V3D's wave, which its makers call a thread: 16, of a QPU of 4 that takes them in 4 cycles.
V3D_4 = Hardware("Broadcom V3D 4.2", wide=4, lanes=16, simds=8, waves=4, local=16 << 10, groups=16,
                 board="Raspberry Pi 4", units=1, bandwidth=13, clock=0.5, latency=0.5)
V3D_7 = dataclasses.replace(V3D_4, name="Broadcom V3D 7.1", simds=12, board="Raspberry Pi 5", bandwidth=17,
                            clock=0.8)
ADRENO = Hardware("Qualcomm Adreno", simds=1, waves=16, local=32 << 10)
SPIRV = Hardware("SPIR-V 1.2")
