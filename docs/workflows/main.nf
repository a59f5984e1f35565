// Every scan in scans/ to images in images/, whatever else your workflow does before and after: nextflow run main.nf
// On a cluster: nextflow run main.nf -process.executor slurm
params.scans = 'scans/*.h5'
params.method = 'gated'

process reconstruct {
    cpus 1
    memory '4 GB'
    time '30 min'
    publishDir 'images', mode: 'copy'

    input:
    path scan

    output:
    path "${scan.baseName}.raki.h5"

    script:
    """
    export OMP_NUM_THREADS=${task.cpus}
    raki reconstruct ${scan} -o '${scan.baseName}.raki.h5' --method ${params.method}
    raki verify '${scan.baseName}.raki.h5'
    """
}

workflow {
    reconstruct(Channel.fromPath(params.scans))
}
